"""`python -m pipeline repro`: which stages may run side by side."""

from dataclasses import replace

from pipeline.params.runs import PruneParams
from pipeline.params.tree import load_params
from pipeline.repro import ALONE, FIRST, groups_of
from pipeline.stage_table import SCRIPTS, stage_table


def test_every_stage_after_preflight_is_in_one_group_or_runs_alone() -> None:
    table = stage_table(load_params())
    groups, _ = groups_of(table)
    grouped = [name for names in groups.values() for name in names]
    begun = SCRIPTS[SCRIPTS.index(FIRST) + 1 :]
    assert sorted(grouped) == sorted(s.name for s in table if s.script in begun and s.script not in ALONE)
    assert len(grouped) == len(set(grouped))


def test_within_a_group_each_stage_follows_what_it_reads() -> None:
    table = stage_table(load_params())
    groups, _ = groups_of(table)
    made = {out: stage.name for stage in table for out in stage.outs}
    stages = {stage.name: stage for stage in table}
    for names in groups.values():
        for place, name in enumerate(names):
            inside = {made[path] for path in stages[name].deps if path in made} & set(names)
            assert inside <= set(names[:place])


def test_a_group_waits_for_what_it_learns_from() -> None:
    params = load_params()
    baseline = params.runs["pspnet_r18"]
    pruned = replace(baseline, prune=PruneParams(source="students/pspnet_r18_gdd", keep=0.5))
    params.runs["pruned"] = pruned
    _, needs = groups_of(stage_table(params))
    assert needs == {
        "teacher": set(),
        "pspnet_r18": set(),
        "deeplabv3_r18": set(),
        "pspnet_r18_gdd": {"teacher"},
        "deeplabv3_r18_gdd": {"teacher"},
        "pruned": {"pspnet_r18_gdd"},
    }
