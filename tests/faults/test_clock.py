"""A clock that runs backwards, and files from tomorrow: results, caches and durations do not follow it."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.contents import UNTIMED, contents
from tests.small_profile import environment, write_small_profile

DAY_NS = 86_400 * 10**9
NEGATIVE = re.compile(r"(?<![\w.-])-\d[\d.]* ?(s|ms|min|h|it/s|images/s)\b")
DURATIONS = ("_s", "_ms", "seconds")
"""How the name of a number ends that is a duration or a rate: none can be below zero."""
FASTEST = 10_000.0  # iterations per second: where a duration was below zero and is taken for none, it is millions
SECONDS_ASKED_FOR = 2


@pytest.fixture(scope="module")
def backwards(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of commands for which the clock runs backwards."""
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("the clock is a library that has to be compiled, and loaded as Linux does it: no cc here")
    library = tmp_path_factory.mktemp("clock") / "backwards.so"
    source = Path(__file__).with_name("backwards.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"], check=True)
    return {**environment(), "LD_PRELOAD": str(library), "CLOCK_TURNED": str(int(time.time()))}


@pytest.fixture
def profile(whole: Path) -> Iterator[Path]:
    """A finished profile, beside the one that all faults are compared with."""
    folder = whole.with_name("clock")
    shutil.copytree(whole, folder, symlinks=True, ignore=shutil.ignore_patterns(".dvc"))
    yield folder
    shutil.rmtree(folder)


@pytest.mark.slow
@pytest.mark.faults
def test_a_training_does_not_follow_the_clock(profile: Path, whole: Path, backwards: dict[str, str]) -> None:
    """Nor the dates of what it reads: the dataset is of tomorrow, and the pairs that were decoded before are older."""
    first, second = _clock_readings(backwards)
    assert second < first, "the clock runs forwards: this proves nothing"
    _from_tomorrow(profile / "data")
    shutil.rmtree(profile / "artifacts/teacher")
    done = _run([sys.executable, "-m", "stages.teacher"], profile, backwards)
    assert done.returncode == 0, done.stderr
    assert not NEGATIVE.search(done.stdout + done.stderr), done.stdout + done.stderr
    _ends_where_the_others_end(profile, whole)
    _no_duration_is_negative(profile)


@pytest.mark.faults
def test_a_repro_does_not_follow_the_clock(whole: Path, backwards: dict[str, str]) -> None:
    """Set back by a day after the teacher, and running backwards from there."""
    folder = whole.with_name("clock_repro")
    write_small_profile(folder, ["pspnet_r18"], **UNTIMED)
    _run(["dvc", "init", "--no-scm", "--quiet"], folder, environment())
    begun = _run(["dvc", "repro", "teacher"], folder, environment())
    assert begun.returncode == 0, begun.stderr
    _from_tomorrow(folder)
    done = _run(["dvc", "repro"], folder, backwards)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    for stage in ("prepare", "curate", "teacher"):
        assert f"Stage '{stage}' didn't change, skipping" in done.stdout
    assert not NEGATIVE.search(done.stdout + done.stderr), done.stdout + done.stderr
    for surroundings in (backwards, environment()):
        again = _run(["dvc", "repro"], folder, surroundings)
        assert "Data and pipelines are up to date" in again.stdout, again.stdout
    _ends_where_the_others_end(folder, whole)
    _no_duration_is_negative(folder)
    shutil.rmtree(folder)


def test_what_is_below_zero_is_found() -> None:
    assert NEGATIVE.search("teacher: 8/8  -3.21 it/s")
    assert NEGATIVE.search("took -2 s")
    assert not NEGATIVE.search("2026-11-03 s, pspnet-18 s, 3-4 s, 12.5 it/s")
    assert list(_below_zero({"a": [{"wait_s": -1.0}, {"lost_points": -2}], "p50_ms": 0.1})) == ["wait_s"]


def _run(command: list[str], folder: Path, surroundings: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, env=surroundings, capture_output=True, text=True, check=False)


def _clock_readings(backwards: dict[str, str]) -> list[float]:
    """Two, of one process, some time after each other."""
    code = f"import time; print(time.time()); time.sleep({SECONDS_ASKED_FOR}); print(time.time())"
    told = subprocess.run([sys.executable, "-c", code], env=backwards, capture_output=True, text=True, check=True)
    return [float(line) for line in told.stdout.splitlines()]


def _from_tomorrow(folder: Path) -> None:
    """What lies there was written before the clock was set back by a day."""
    for path in folder.rglob("*"):
        state = path.stat(follow_symlinks=False)
        times = (state.st_atime_ns + DAY_NS, state.st_mtime_ns + DAY_NS)
        os.utime(path, ns=times, follow_symlinks=False)


def _ends_where_the_others_end(folder: Path, whole: Path) -> None:
    expected, found = contents(whole), contents(folder)
    assert found.keys() == expected.keys()
    assert [name for name in expected if found[name] != expected[name]] == []


def _no_duration_is_negative(folder: Path) -> None:
    for file in folder.glob("artifacts/**/training.csv"):
        with file.open(newline="") as rows:
            rates = [float(row["iterations_per_s"]) for row in csv.DictReader(rows)]
        assert [rate for rate in rates if not 0 < rate < FASTEST] == [], file
    for file in folder.glob("reports/**/*.json"):
        assert list(_below_zero(json.loads(file.read_text()))) == [], file


def _below_zero(value: Any, name: str = "") -> Iterator[str]:
    """Names of durations and rates in a tree that are negative."""
    if isinstance(value, dict):
        for key, entry in value.items():
            yield from _below_zero(entry, str(key))
    elif isinstance(value, list):
        for entry in value:
            yield from _below_zero(entry, name)
    elif isinstance(value, int | float) and value < 0 and name.endswith(DURATIONS):
        yield name
