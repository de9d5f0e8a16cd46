"""DVC fails after a training has ended and before dvc.lock has its result: the next repro does not train again."""

import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from zc.lockfile import LockFile

from pipeline.training.finished import dvc_name
from tests.faults.waiting import wait_until
from tests.small_profile import environment, repro, write_small_profile

TEACHER = "artifacts/teacher"
WAYS = ("locked", "killed", "interrupted", "no cache")
"""Another dvc command holds DVC's lock; a kill, or Ctrl-C, while DVC waits for it; nothing can be stored."""


@pytest.fixture(scope="module")
def curated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lost") / "curated"
    write_small_profile(folder, ["pspnet_r18"])
    done = repro(folder, "curate")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture
def profile(curated: Path) -> Iterator[Path]:
    folder = curated.with_name("profile")
    shutil.copytree(curated, folder, symlinks=True)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    "way", [pytest.param(w, marks=[pytest.mark.faults, *([pytest.mark.slow] if w == "locked" else [])]) for w in WAYS]
)
def test_a_finished_training_is_not_lost(profile: Path, way: str) -> None:
    with _dvc(profile) as process:
        if way == "no cache":
            _replace_by_file(profile / ".dvc/cache/files")
        else:
            lock = LockFile(str(profile / ".dvc/tmp/lock"))
            _wait_for_end_of_stage(process, profile)
            if way == "killed":
                process.kill()
            elif way == "interrupted":
                process.send_signal(signal.SIGINT)
        assert process.wait(60) != 0
        if way == "no cache":
            _put_back(profile / ".dvc/cache/files")
        else:
            lock.close()
    assert TEACHER not in (profile / "dvc.lock").read_text()
    name = dvc_name(profile / TEACHER)  # its curve says how fast it was: no other training has this name

    again = repro(profile, "teacher")
    assert again.returncode == 0, again.stdout + again.stderr
    assert dvc_name(profile / TEACHER) == name
    assert f"md5: {name}" in (profile / "dvc.lock").read_text()  # DVC calls it so too

    forced = repro(profile, "--force", "--single-item", "teacher")  # now it is known: this asks for another one
    assert forced.returncode == 0, forced.stdout + forced.stderr
    assert dvc_name(profile / TEACHER) != name


@contextmanager
def _dvc(profile: Path) -> Iterator[subprocess.Popen[str]]:
    """Start `dvc repro teacher`, and wait until it has given its lock away for the time of the training."""
    log = profile.with_name("log")
    with log.open("w") as file:
        command = ["dvc", "repro", "teacher"]
        process = subprocess.Popen(command, cwd=profile, env=environment(), stdout=file, stderr=file, text=True)
    try:
        wait_until(lambda: "Running stage 'teacher'" in log.read_text(), process)
        yield process
    finally:
        process.kill()
        process.wait()


def _wait_for_end_of_stage(process: subprocess.Popen[str], profile: Path) -> None:
    dvc, checkpoint = psutil.Process(process.pid), profile / TEACHER / "checkpoint.safetensors"
    wait_until(lambda: checkpoint.is_file() and not dvc.children())


def _replace_by_file(folder: Path) -> None:
    folder.rename(folder.with_name("away"))
    folder.touch()


def _put_back(folder: Path) -> None:
    folder.unlink()
    folder.with_name("away").rename(folder)
