"""DVC is killed while it writes: its commands refuse what is left, and the command recover puts that right."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.errors import ArtifactError
from pipeline.versions.recover import is_readable, recover
from pipeline.versions.store import opened
from tests.raising import raises
from tests.versions.project import PROFILE, Project

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]


def command(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False, env=environment)


def readable(folder: Path) -> bool:
    with opened(str(folder)) as repo:
        return is_readable(repo, folder / "dvc.lock")


def test_a_lock_file_that_is_cut_off_anywhere_can_be_read_afterwards(project: Project) -> None:
    lock = project.root / "dvc.lock"
    whole, refused = lock.read_bytes(), 0
    for length in range(0, len(whole), 61):
        lock.write_bytes(whole[:length])
        bad = not readable(project.root)
        assert len(recover(project.root)) == bad
        assert readable(project.root)
        assert lock.read_bytes() == (whole if bad else whole[:length])  # what DVC reads is DVC's to judge
        refused += bad
    assert refused >= 5


@pytest.mark.parametrize("folder", [".", PROFILE])
def test_what_dvc_was_writing_is_put_right_and_nothing_runs_again(project: Project, folder: str) -> None:
    here = project.root / folder
    whole = (here / "dvc.lock").read_bytes()
    for name in (here / "dvc.lock", project.root / ".dvc/tmp/rwlock"):
        name.write_bytes(b"")
    assert command("dvc", "repro", folder=here).returncode != 0
    done = command(sys.executable, "-m", "pipeline", "recover", folder=here)
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert f"{here.resolve()}/dvc.lock" in first
    assert "rwlock" in second
    assert (here / "dvc.lock").read_bytes() == whole
    assert "up to date" in command("dvc", "status", folder=here).stdout


def test_without_a_commit_the_run_cache_knows_what_was_finished(project: Project) -> None:
    lock = project.root / "dvc.lock"
    whole = lock.read_bytes()
    assert command("git", "rm", "--cached", "-q", "dvc.lock", folder=project.root).returncode == 0
    assert command("git", "commit", "-qm", "without", folder=project.root).returncode == 0
    lock.write_bytes(whole[:100])
    (sentence,) = recover(project.root)
    assert str(lock) in sentence
    assert not lock.exists()
    done = command("dvc", "repro", folder=project.root)
    assert done.returncode == 0, done.stderr
    assert "Running stage" not in done.stdout
    assert lock.read_bytes() == whole


def test_a_commit_that_is_no_better_is_not_put_back(project: Project) -> None:
    (project.root / "dvc.lock").write_bytes(b"")
    assert command("git", "commit", "-qam", "cut off", folder=project.root).returncode == 0
    assert len(recover(project.root)) == 1
    assert not (project.root / "dvc.lock").exists()


def test_a_merge_is_not_thrown_away(project: Project) -> None:
    lock = project.root / "dvc.lock"
    merged = b"<<<<<<< ours\n" + lock.read_bytes()
    lock.write_bytes(merged)
    with raises(ArtifactError, lock, "git checkout", "--ours"):
        recover(project.root)
    assert lock.read_bytes() == merged


def test_a_dvc_command_at_work_is_not_disturbed(project: Project) -> None:
    lock = project.root / "dvc.lock"
    lock.write_bytes(b"")  # as it is for a moment while DVC writes it
    with opened(str(project.root)) as other, other.lock:
        done = command(sys.executable, "-m", "pipeline", "recover", folder=project.root)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "MachineError" in done.stderr
    assert lock.read_bytes() == b""
