"""`python -m pipeline repro`: which stages may run side by side."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain

import pytest

from pipeline.params.runs import PruneParams
from pipeline.params.tree import Params, load_params
from pipeline.repro import FIRST, SIDE_BY_SIDE, TIMED, groups_of
from pipeline.stage_table import SCRIPTS, Stage, stage_table


def _stages(scripts: Sequence[str], params: Params) -> list[Stage]:
    return [stage for stage in stage_table(params) if stage.script in scripts]


def test_every_script_runs_once() -> None:
    before, after = SIDE_BY_SIDE
    first = SCRIPTS[: SCRIPTS.index(FIRST) + 1]
    assert sorted([*first, *before, TIMED, *after, "report"]) == sorted(SCRIPTS)


@pytest.mark.parametrize("scripts", SIDE_BY_SIDE)
def test_within_a_group_each_stage_follows_what_it_reads(scripts: Sequence[str]) -> None:
    stages = _stages(scripts, load_params())
    groups, _ = groups_of(stages)
    assert sorted(chain(*groups.values())) == sorted(stage.name for stage in stages)
    made, named = {out: stage.name for stage in stages for out in stage.outs}, {stage.name: stage for stage in stages}
    for names in groups.values():
        for place, name in enumerate(names):
            assert {made[path] for path in named[name].deps if path in made} & set(names) <= set(names[:place])


def test_a_group_waits_for_what_it_learns_from() -> None:
    params = load_params()
    baseline = params.runs["pspnet_r18"]
    pruned = replace(baseline, prune=PruneParams(source="students/pspnet_r18_gdd", keep=0.5))
    params.runs["pruned"] = pruned
    _, needs = groups_of(_stages(SIDE_BY_SIDE[0], params))
    assert needs == {
        "teacher": set(),
        "pspnet_r18": set(),
        "deeplabv3_r18": set(),
        "pspnet_r18_gdd": {"teacher"},
        "deeplabv3_r18_gdd": {"teacher"},
        "pruned": {"pspnet_r18_gdd"},
        **{f"{name} deployed": {name} for name in params.runs},
        "inspect deployed": {"teacher", *params.runs},
    }
