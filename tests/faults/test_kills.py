"""SIGKILL at seeded moments of every stage: the repro after it ends where an undisturbed one ends."""

import json
import shutil
from pathlib import Path

import pytest

from tests.faults.contents import CACHES, UNTIMED, contents
from tests.faults.disturbed import killed, schedule, survivors
from tests.small_profile import repro, run, write_small_profile

SEED = 0


@pytest.mark.parametrize(
    "points", [pytest.param(2, marks=pytest.mark.slow), pytest.param(20, marks=pytest.mark.faults)]
)
def test_nothing_is_lost_and_nothing_stays(whole: Path, seconds: dict[str, float], points: int) -> None:
    folder = whole.with_name(f"killed_{points}")
    write_small_profile(folder, ["pspnet_r18"], **UNTIMED)
    run(["dvc", "init", "--no-scm", "--quiet"], folder)
    kills = schedule(list(seconds), points, SEED)
    outcomes = [killed(folder, kill, seconds[kill.stage]) for kill in kills]
    late = sum(outcome.late for outcome in outcomes)
    cut_off = [sentence for outcome in outcomes for sentence in outcome.recovered]
    print(json.dumps({"kills": len(kills), "repros that ended before their moment": late, "recovered": cut_off}))
    done = repro(folder)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "Data and pipelines are up to date" in repro(folder).stdout

    expected, found = contents(whole), contents(folder)
    assert list(found.keys() - expected.keys()) == []  # no half-written, temporary or forgotten file either
    # A stage that was begun anew and killed clears its caches; DVC may then take from its run cache what it ended in.
    assert [name for name in expected.keys() - found.keys() if not name.startswith(CACHES)] == []
    assert [name for name in found if found[name] != expected[name]] == []
    assert not list(survivors(folder))
    shutil.rmtree(folder)


def test_a_schedule_is_a_function_of_its_seed_and_leaves_no_stage_out() -> None:
    stages = [f"s{number}" for number in range(7)]
    kills = schedule(stages, 20, 3)
    assert kills == schedule(stages, 20, 3) != schedule(stages, 20, 4)
    assert len(kills) == 20
    assert {kill.stage for kill in kills} == set(stages)
    assert [kill.stage for kill in kills] == sorted(kill.stage for kill in kills)
    assert len({kill.stage for kill in schedule(stages, 5, 0)}) == 5
