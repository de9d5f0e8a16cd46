"""An S3 server that fails in the middle of a transfer: one message, nothing half-done, and later the command works.

A real server; a relay before it counts the bytes and lets the harm begin in the middle of an object.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import pytest

from pipeline.code_digest import ROOT
from tests.faults.relay import Direction, Harm, Relay
from tests.small_profile import environment
from tests.versions.project import Project, make_project
from tests.versions.server import Server, own_settings

Way = Literal["killed", "errors", "cut", "silent"]
"""SIGKILL; 500 for every request; all connections break once; SIGSTOP: it is there and says nothing."""
MODEL_BYTES = 200_000  # the largest object; all that is sent or received beside it is a fraction of it
MOMENTS = (2_000, MODEL_BYTES // 2, MODEL_BYTES)  # bytes that pass before the harm
SECRET = "nobody-may-see-this-key"
TOKEN = "nobody-may-see-this-token"
CREDENTIALS = {"AWS_SECRET_ACCESS_KEY": SECRET, "AWS_SESSION_TOKEN": TOKEN}
HURRY = {"AWS_MAX_ATTEMPTS": "1"}  # the client tries five times, which only takes longer


class Site(NamedTuple):
    """A project, and a server that it reaches through a relay."""

    server: Server
    relay: Relay
    project: Project
    settings: dict[str, str]

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "pipeline", *arguments], cwd=self.project.root, capture_output=True,
            text=True, check=False, timeout=300,
            env={**environment(), **self.settings, **HURRY, **CREDENTIALS, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip

    def harm(self, way: Way, direction: Direction, after: int) -> Harm:
        acts = {"killed": self.server.kill, "silent": lambda: os.kill(self.server.process.pid, signal.SIGSTOP)}
        return Harm(direction, after, acts.get(way, lambda: None), refuses=way == "errors")

    def mend(self, way: Way, objects: dict[str, bytes]) -> None:
        """The server is back, with the objects that are given if it was killed."""
        self.relay.expect(None)
        if way == "killed":
            self.server.start(objects)
        if way == "silent":
            os.kill(self.server.process.pid, signal.SIGCONT)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    started = Server(tmp_path_factory.mktemp("s3") / "log")
    try:
        yield started
    finally:
        started.stop()


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_project(tmp_path_factory.mktemp("template") / "project")


@pytest.fixture
def site(server: Server, template: Path, tmp_path: Path) -> Iterator[Site]:
    root = tmp_path / "project"
    shutil.copytree(template, root, symlinks=True)
    relay = Relay(server.port)
    project = Project(root, server.client, server.log, tmp_path.name)
    project.add_remote("store", f"http://127.0.0.1:{relay.port}", "    verify = true\n    read_timeout = 2\n")
    try:
        yield Site(server, relay, project, own_settings(tmp_path / "settings"))
    finally:
        relay.close()


IN_SHORT = ("killed", MODEL_BYTES // 2)
CASES = [
    pytest.param(way, after, marks=[pytest.mark.faults, *([pytest.mark.slow] if (way, after) == IN_SHORT else [])])
    for way in ("killed", "errors", "cut", "silent")
    for after in MOMENTS
]


@pytest.mark.parametrize(("way", "after"), CASES)
def test_a_push_that_breaks_off_gives_no_version(site: Site, way: Way, after: int) -> None:
    site.relay.expect(site.harm(way, "up", after))
    failed = site.command("publish", "good", "1.0.0")
    _harm_was_done(site)
    if way != "cut" or failed.returncode:  # one broken connection may be made good by another try
        _is_one_message(failed)
        assert site.project.tags() == []
    site.mend(way, {})
    if failed.returncode:
        again = site.command("publish", "good", "1.0.0")
        assert again.returncode == 0, again.stderr
    assert site.project.tags() == ["good@v1.0.0"]
    _fetched_is_released(site)
    _keys_are_nowhere(site, failed)


@pytest.mark.parametrize(("way", "after"), CASES)
def test_a_pull_that_breaks_off_leaves_nothing(site: Site, tmp_path: Path, way: Way, after: int) -> None:
    done = site.command("publish", "good", "1.0.0")
    assert done.returncode == 0, done.stderr
    kept, beside = site.server.objects(), sorted(tmp_path.iterdir())
    site.relay.expect(site.harm(way, "down", after))
    failed = site.command("fetch", "good@1.0.0", "--out", str(tmp_path / "got"))
    _harm_was_done(site)
    if failed.returncode:
        _is_one_message(failed)
        assert sorted(tmp_path.iterdir()) == beside
    else:
        assert way == "cut"
        shutil.rmtree(tmp_path / "got")
    site.mend(way, kept)
    _fetched_is_released(site)
    _keys_are_nowhere(site, failed)


def _harm_was_done(site: Site) -> None:
    assert site.relay.harmed, f"the command ended after {site.relay.passed} bytes, before the server failed"


def _is_one_message(failed: subprocess.CompletedProcess[str]) -> None:
    assert failed.returncode == 1, failed.stdout + failed.stderr
    assert "Traceback" not in failed.stderr, failed.stderr
    assert failed.stderr.count("Error: ") >= 1
    lines = [line for line in failed.stderr.strip().splitlines() if not line.startswith("Help: ")]
    assert len(lines) == 1, failed.stderr
    assert lines[0].startswith("MachineError: s3://releases/"), failed.stderr
    assert ".dvc/config" in lines[0]


def _fetched_is_released(site: Site) -> None:
    """Byte for byte; a tag of which that cannot be said points to what was never pushed."""
    out = site.project.root.parent / "afterwards"
    fetched = site.command("fetch", "good@1.0.0", "--out", str(out))
    assert fetched.returncode == 0, fetched.stderr
    assert _bytes_in(out) == _bytes_in(site.project.bundle)


def _bytes_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _keys_are_nowhere(site: Site, *said: subprocess.CompletedProcess[str]) -> None:
    """Neither told nor written: bundle, card, manifest, dvc.lock, configuration, DVC's own state, the server's log."""
    texts = {"what was said": json.dumps([done.stdout + done.stderr for done in said]).encode()}
    texts |= _bytes_in(site.project.root.parent)
    texts["the server's log"] = site.server.log.read_bytes()
    for secret in (SECRET, TOKEN):
        assert [name for name, content in texts.items() if secret.encode() in content] == []
