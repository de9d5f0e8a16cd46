"""`make inspect` when its database is killed, and who may reach what it starts.

The command of the Makefile on a profile of a few pictures: the App's server and mongod are real.
"""

import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

import pytest

from pipeline.code_digest import ROOT
from tests.faults.disturbed import MARKER, survivors
from tests.faults.listening import Listener, listeners, own_address
from tests.faults.waiting import PATIENCE_S, wait_until
from tests.inspection.toy_profile import ToyProfile
from tests.ports import free_port
from tests.small_profile import environment, write_small_profile

SERVING = "FiftyOne App: http"


class Inspected(NamedTuple):
    """A profile, and commands on it whose processes are found by a mark."""

    folder: Path

    def begin(self, command: list[str]) -> subprocess.Popen[str]:
        surroundings = {**environment(), MARKER: str(self.folder)}
        surroundings.pop("FIFTYONE_DATABASE_URI", None)
        return subprocess.Popen(
            command, cwd=self.folder, env=surroundings, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            start_new_session=True,
        )  # fmt: skip

    def open(self) -> subprocess.Popen[str]:
        return self.begin(command_of_make("inspect", f"ARGS=--port {free_port()}"))

    def serving(self) -> subprocess.Popen[str]:
        process = self.open()
        assert process.stdout is not None
        until_told(process, process.stdout, SERVING)
        return process

    @property
    def mongod(self) -> int:
        """Its process; 0 where there is none."""
        try:
            return int((self.folder / "scratch/inspect/mongo/mongod.lock").read_text())
        except (OSError, ValueError):
            return 0

    def end(self, process: subprocess.Popen[str]) -> None:
        process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, said
        self.nothing_is_left()

    def nothing_is_left(self) -> None:
        """Neither a process nor what would stop the next one."""
        wait_until(lambda: not list(survivors(self.folder)))


@pytest.fixture
def inspected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Inspected]:
    monkeypatch.chdir(tmp_path)
    ToyProfile(tmp_path)
    yield Inspected(tmp_path)
    for pid in survivors(tmp_path):
        os.kill(pid, signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.faults
def test_nobody_else_is_listened_to_and_a_killed_database_is_told(inspected: Inspected) -> None:
    process = inspected.serving()
    found = listeners(survivors(inspected.folder))
    assert len(found) >= 2, "the App's server and mongod were not found: this looks at the wrong processes"
    assert [listener for listener in found if not listener.is_local] == []
    _are_out_of_reach(found)

    os.kill(inspected.mongod, signal.SIGKILL)
    _is_one_message(process)
    inspected.nothing_is_left()


@pytest.mark.faults
def test_a_database_that_is_killed_while_the_dataset_is_built(inspected: Inspected) -> None:
    process = inspected.open()
    wait_until(lambda: inspected.mongod > 0)
    time.sleep(3)  # FiftyOne is being imported, or building
    os.kill(inspected.mongod, signal.SIGKILL)
    _is_one_message(process)
    inspected.nothing_is_left()
    inspected.end(inspected.serving())


@pytest.mark.faults
def test_a_database_that_is_killed_while_tags_are_applied(inspected: Inspected) -> None:
    inspected.end(inspected.serving())
    review = (inspected.folder / "review.csv").read_bytes()
    process = inspected.begin(command_of_make("inspect-apply"))
    wait_until(lambda: inspected.mongod > 0)
    os.kill(inspected.mongod, signal.SIGKILL)
    _is_one_message(process)
    inspected.nothing_is_left()
    assert (inspected.folder / "review.csv").read_bytes() == review
    again = inspected.begin(command_of_make("inspect-apply"))
    said = again.communicate(timeout=PATIENCE_S)
    assert again.returncode == 0, said


@pytest.mark.faults
def test_a_database_that_is_lost_while_two_use_it(inspected: Inspected) -> None:
    """`make inspect-apply` beside a running App uses the App's server, and is not the one that notices its end."""
    process = inspected.serving()
    ports = {listener.port for listener in listeners([inspected.mongod])}
    other = inspected.begin(command_of_make("inspect-apply"))
    wait_until(lambda: any(_is_connected_to(other.pid, port) for port in ports))
    os.kill(inspected.mongod, signal.SIGKILL)
    _is_one_message(process)
    _is_one_message(other)
    inspected.nothing_is_left()


@pytest.mark.faults
def test_no_stage_listens_to_others(tmp_path: Path) -> None:
    """All stages, with loader processes, looked at twenty times a second."""
    folder = tmp_path / "profile"
    write_small_profile(folder, ["pspnet_r18"], training={"workers": 1})
    inspected = Inspected(folder)
    assert inspected.begin(["dvc", "init", "--no-scm", "--quiet"]).wait(PATIENCE_S) == 0
    log = (tmp_path / "log").open("w")
    process = subprocess.Popen(
        ["dvc", "repro"], cwd=folder, env={**environment(), MARKER: str(folder)}, stdout=log, stderr=log
    )
    found: set[Listener] = set()
    while process.poll() is None:
        found |= listeners(survivors(folder))
        time.sleep(0.05)
    assert process.returncode == 0, (tmp_path / "log").read_text()[-3000:]
    assert [listener for listener in found if not listener.is_local] == []


def test_a_listener_for_all_is_told_from_a_local_one() -> None:
    """Else the tests above could not fail."""
    with socket.create_server(("127.0.0.1", 0)) as local, socket.create_server(("0.0.0.0", 0)) as for_all:
        found = {listener.port: listener.is_local for listener in listeners([os.getpid()])}
        assert found[local.getsockname()[1]]
        assert not found[for_all.getsockname()[1]]
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as local:
        assert Listener(listeners([os.getpid()]).pop().address, local.getsockname()[1]).is_local


def command_of_make(target: str, *variables: str) -> list[str]:
    """What the Makefile would run, with its own defaults."""
    told = subprocess.run(
        ["make", "--dry-run", target, *variables], cwd=ROOT, capture_output=True, text=True, check=True
    )
    (command,) = [line for line in told.stdout.splitlines() if "-m pipeline inspect" in line]
    return [sys.executable, *shlex.split(command.partition("exec python ")[2])]


def until_told(process: subprocess.Popen[str], out: IO[str], words: str) -> None:
    told: list[str] = []
    while words not in (line := out.readline()):
        told.append(line)
        assert line, (told, process.communicate())


def _is_one_message(process: subprocess.Popen[str]) -> None:
    said, complained = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1, said + complained
    assert "Traceback" not in said + complained, complained
    lines = [line for line in complained.strip().splitlines() if not line.startswith("Help: ")]
    told = lines[-1]  # after what FiftyOne's service says about mongod
    assert told.startswith("MachineError: ")
    assert "review.csv" in told or "mongod.log" in told


def _are_out_of_reach(found: set[Listener]) -> None:
    """Also in fact, where this machine has an address that others could use."""
    if not own_address():
        return
    for listener in found:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((own_address(), listener.port), 2).close()


def _is_connected_to(pid: int, port: int) -> bool:
    inodes = {str(link.readlink())[8:-1] for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()}
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any(row[2].endswith(f":{port:04X}") and row[9] in inodes for row in rows)
