"""`python -m pipeline repro`: which stages may run side by side."""

from collections.abc import Sequence
from dataclasses import replace

from pipeline.params.runs import PruneParams
from pipeline.params.tree import Params, load_params
from pipeline.repro import FIRST, SIDE_BY_SIDE, TIMED, needs
from pipeline.stage_table import SCRIPTS, Stage, stage_table


def _stages(scripts: Sequence[str], params: Params) -> list[Stage]:
    return [stage for stage in stage_table(params) if stage.script in scripts]


def test_every_script_runs_once() -> None:
    before, after = SIDE_BY_SIDE
    first = SCRIPTS[: SCRIPTS.index(FIRST) + 1]
    assert sorted([*first, *before, TIMED, *after, "report"]) == sorted(SCRIPTS)


def test_a_stage_waits_for_what_it_reads_and_no_longer() -> None:
    params = load_params()
    baseline = params.runs["pspnet_r18"]
    params.runs["pruned"] = replace(baseline, prune=PruneParams(source="students/pspnet_r18_gdd", keep=0.5))
    found = needs(_stages(SIDE_BY_SIDE[0], params))
    assert found["teacher"] == found["student-pspnet_r18"] == set()
    assert found["student-pspnet_r18_gdd"] == {"teacher"}
    assert found["student-pruned"] == {"student-pspnet_r18_gdd"}
    assert found["evaluate-pruned"] == {"student-pruned"}
    assert found["export-pruned"] == {"student-pruned", "evaluate-pruned"}
    assert {f"evaluate-{name}" for name in ("teacher", *params.runs)} <= found["inspect"]
