"""`dvc repro` in a process group of its own, killed at a chosen moment of a chosen stage."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Literal, NamedTuple

from tests.small_profile import environment, run

MARKER = "SEGDISTILL_FAULT"  # in the environment of all that a repro starts, so that what survives is found
PATIENCE_S = 20.0
MOST_LATE = 6
WITHOUT_NETWORK = ("unshare", "--net")

Victim = Literal["all", "stage", "dvc"]
"""A power cut, the kernel's out-of-memory killer, and somebody who kills the command that he sees."""
VICTIMS: tuple[Victim, ...] = ("all", "stage", "dvc")


class Kill(NamedTuple):
    stage: str  # as dvc names it
    share: float  # of the stage's undisturbed time that has passed by then
    victim: Victim


class Outcome(NamedTuple):
    late: int  # repros that ended before their moment came
    recovered: list[str]  # what DVC was writing when it was killed, and could not read any more


def schedule(stages: Sequence[str], points: int, seed: int) -> list[Kill]:
    """Moments for `points` kills, in the order of the stages; each stage has one before any has two."""
    random = Random(seed)
    rounds = [random.sample(range(len(stages)), len(stages)) for _ in range(points // len(stages) + 1)]
    chosen = sorted([stage for order in rounds for stage in order][:points])
    return [Kill(stages[index], random.random(), random.choice(VICTIMS)) for index in chosen]


def undisturbed(folder: Path) -> dict[str, float]:
    """A whole repro, without a network where we may take it away; seconds of each stage, in their order."""
    process, begun = _start(folder, within=WITHOUT_NETWORK if may_lose_network() else ()), {}
    for stage in _stages(process, folder):
        begun[stage] = time.monotonic()
    assert process.wait() == 0, _log(folder).read_text()[-3000:]
    ends = [*list(begun.values())[1:], time.monotonic()]
    return {stage: end - begun[stage] for stage, end in zip(begun, ends, strict=True)}


def killed(folder: Path, kill: Kill, seconds: float) -> Outcome:
    """Repro until the moment comes, kill, wait until nobody of it is left, and recover.

    The stage may be over by then: because the machine is faster than it was, or because an earlier kill came after all
    was written. It is begun once more in that case, alone, and given half the time.

    Args:
        seconds: that the stage takes undisturbed.

    Raises:
        AssertionError: a process outlived its repro, or a repro failed before it was killed.
    """
    for late in range(MOST_LATE):
        process = _start(folder, ["--force", "--single-item", kill.stage] if late else [])
        if kill.stage in _stages(process, folder):
            _wait(process, kill.share * seconds / 2**late)
        if process.poll() is None:
            break
        assert process.returncode == 0, _log(folder).read_text()[-3000:]
    else:
        raise AssertionError(f"{MOST_LATE} repros ended before their moment came: {kill}, {seconds:.1f} s")
    for pid in _victims(process.pid, folder, kill.victim):
        _kill(pid)
    process.wait()
    deadline = time.monotonic() + PATIENCE_S
    while alive := list(survivors(folder)):
        assert time.monotonic() < deadline, f"after {kill}: still there are {[_command(pid) for pid in alive]}"
        time.sleep(0.05)
    recovering = run([sys.executable, "-m", "pipeline", "recover"], folder)
    assert recovering.returncode == 0, recovering.stderr
    return Outcome(late, recovering.stdout.splitlines())


def survivors(folder: Path) -> Iterator[int]:
    """All processes that a repro in the folder started."""
    marker = f"{MARKER}={folder}".encode()
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and marker in (entry / "environ").read_bytes().split(b"\0"):
                yield int(entry.name)
        except OSError:
            continue  # it ended while we looked


def may_lose_network() -> bool:
    return subprocess.run([*WITHOUT_NETWORK, "true"], capture_output=True, check=False).returncode == 0


def _start(folder: Path, options: Sequence[str] = (), within: Sequence[str] = ()) -> subprocess.Popen[bytes]:
    with _log(folder).open("w") as log:
        return subprocess.Popen(
            [*within, "dvc", "repro", *options], cwd=folder, env={**environment(), MARKER: str(folder)}, stdout=log,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip


def _log(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.log")  # a pipe would end with the process that reads it


def _stages(process: subprocess.Popen[bytes], folder: Path) -> Iterator[str]:
    """The stages as they begin, until the repro ends."""
    begin, end = "Running stage '", "':"
    with _log(folder).open() as log:
        while True:
            over = process.poll() is not None  # asked before the last lines are read
            for line in log:
                if line.startswith(begin):
                    yield line.removeprefix(begin).rstrip().removesuffix(end)
            if over:
                return
            time.sleep(0.01)


def _wait(process: subprocess.Popen[bytes], seconds: float) -> None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)


def _victims(dvc: int, folder: Path, victim: Victim) -> list[int]:
    if victim == "dvc":
        return [dvc]
    others = [pid for pid in survivors(folder) if pid != dvc]
    return [dvc, *others] if victim == "all" else others


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return  # it was quicker


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return f"process {pid}, which has just ended"
