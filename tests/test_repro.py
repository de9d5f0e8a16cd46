"""`python -m pipeline repro`: which stages may run side by side."""

import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import replace
from multiprocessing.process import BaseProcess

import pytest

from pipeline import repro
from pipeline.errors import ParamsError
from pipeline.params.runs import PruneParams
from pipeline.params.tree import Params, load_params
from pipeline.repro import FIRST, SIDE_BY_SIDE, TIMED, needs
from pipeline.stage_table import SCRIPTS, Stage, stage_table
from tests.raising import raises

FAILING: set[str] = set()


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


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stages that were begun, in their order; those in FAILING end with an error."""
    names: list[str] = []

    def start(*words: str, environment: Mapping[str, str] | None = None) -> BaseProcess:
        names.append(words[-1])
        process = repro.FORK.Process(target=sys.exit, args=(int(words[-1] in FAILING),))
        process.start()
        return process

    monkeypatch.setattr(repro, "_start", start)
    return names


@pytest.mark.parametrize("jobs", [1, 2, 5])
def test_every_stage_is_begun_once_after_what_it_reads(begun: list[str], jobs: int) -> None:
    stages = _stages(SIDE_BY_SIDE[0], load_params())
    repro.side_by_side(stages, jobs)
    assert sorted(begun) == sorted(stage.name for stage in stages)
    for name, before in needs(stages).items():
        assert before <= set(begun[: begun.index(name)])


def test_after_a_failure_nothing_is_begun(begun: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.FAILING", {"teacher"})
    with pytest.raises(SystemExit):
        repro.side_by_side(_stages(SIDE_BY_SIDE[0], load_params()), 1)
    assert begun == ["teacher"]


def test_no_job_at_all_is_refused() -> None:
    with raises(ParamsError, "--jobs 0"):
        repro.run(Namespace(jobs=0))
