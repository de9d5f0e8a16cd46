"""A loader process that dies, or gets no more memory, in the middle of a training: one message, and then it goes on."""

import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.disturbed import MARKER, survivors
from tests.faults.waiting import PATIENCE_S, wait_until
from tests.small_profile import environment, run, write_small_profile

ITERATIONS = 100
TEACHER = [sys.executable, "-m", "stages.teacher"]
CHECKPOINT = "artifacts/teacher/checkpoint.safetensors"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A profile with a teacher that learned without any loader process."""
    folder = tmp_path_factory.mktemp("workers") / "undisturbed"
    _write(folder, workers=0)
    for name in ("prepare", "curate", "teacher"):
        done = run([sys.executable, "-m", f"stages.{name}"], folder)
        assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def profile(undisturbed: Path) -> Iterator[Path]:
    """The same before its teacher, with a loader process that decodes every time."""
    folder = undisturbed.with_name("disturbed")
    shutil.copytree(undisturbed, folder, ignore=shutil.ignore_patterns("artifacts", "scratch"))
    _write(folder, workers=1)
    yield folder
    for pid in survivors(folder):
        os.kill(pid, signal.SIGKILL)
    shutil.rmtree(folder)


def killed(pid: int) -> None:
    """What the kernel does when memory is out."""
    os.kill(pid, signal.SIGKILL)


def without_memory(pid: int) -> None:
    """No byte more than it has: what it asks for now is refused."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
    used = pages * resource.getpagesize()
    resource.prlimit(pid, resource.RLIMIT_AS, (used, used))


@pytest.mark.faults
@pytest.mark.parametrize(
    ("harm", "value"),
    [
        (killed, "/dev/shm"),
        (without_memory, "training.batch_size"),
    ],
)
def test_a_lost_loader_process_is_told_and_costs_nothing(
    profile: Path, undisturbed: Path, harm: Callable[[int], None], value: str
) -> None:
    process = subprocess.Popen(
        TEACHER, cwd=profile, env={**environment(), MARKER: str(profile)}, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    wait_until(lambda: any(profile.glob("scratch/teacher/*/state.safetensors")), process)
    for pid in _loaders(process.pid):
        harm(pid)
    _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1, said
    assert "Traceback" not in said, said
    (line,) = [line for line in said.splitlines() if line.startswith("TrainingError")]
    assert value in line
    assert "training.workers" in line
    wait_until(lambda: not list(survivors(profile)))
    assert not (profile / CHECKPOINT).exists()

    again = run(TEACHER, profile)
    assert again.returncode == 0, again.stderr
    resumed = rf"^teacher: [^\d\n]+[1-9]\d*[^\d\n]+{ITERATIONS}$"
    assert re.search(resumed, again.stdout + again.stderr, re.MULTILINE)
    assert (profile / CHECKPOINT).read_bytes() == (undisturbed / CHECKPOINT).read_bytes()


def _write(folder: Path, workers: int) -> None:
    teacher = {"iterations": ITERATIONS}
    training = {"workers": workers, "decoded_gib": 0.0, "checkpoint_every": 10}
    write_small_profile(folder, ["pspnet_r18"], teacher=teacher, training=training)


def _loaders(pid: int) -> list[int]:
    """Its children that are called like itself: there may be helpers of multiprocessing too."""
    children = [task / "children" for task in Path(f"/proc/{pid}/task").iterdir()]
    own = Path(f"/proc/{pid}/cmdline").read_bytes()
    found = [int(child) for file in children for child in file.read_text().split()]
    return [child for child in found if Path(f"/proc/{child}/cmdline").read_bytes() == own]
