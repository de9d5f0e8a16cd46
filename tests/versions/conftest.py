"""A real S3 server on this machine, and a small project whose stage makes bundles."""

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from tests.versions.project import BUCKET, Project, Server, make_project

KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="session", autouse=True)
def own_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Neither the settings of who runs the tests nor what they write is touched."""
    own = tmp_path_factory.mktemp("settings")
    settings = {
        **KEYS,
        "AWS_CONFIG_FILE": str(own / "aws"),
        "AWS_SHARED_CREDENTIALS_FILE": str(own / "credentials"),
        "DVC_GLOBAL_CONFIG_DIR": str(own / "dvc"),
        "DVC_SYSTEM_CONFIG_DIR": str(own / "dvc"),
        "DVC_SITE_CACHE_DIR": str(own / "site"),
        "DVC_NO_ANALYTICS": "true",
        "GIT_CONFIG_GLOBAL": str(own / "gitconfig"),
        "GIT_CONFIG_NOSYSTEM": "1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        patch.delenv("SEGDISTILL_PUBLIC_KEY", raising=False)
        yield


@pytest.fixture(scope="session")
def s3(own_settings: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that runs for this session."""
    port = free_port()
    log = tmp_path_factory.mktemp("s3") / "log"
    with log.open("w") as out:
        server = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], stdout=out, stderr=out
        )
        try:
            wait_for(server, port, log)
            client = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}")
            client.create_bucket(Bucket=BUCKET)
            yield Server(client, log)
        finally:
            server.terminate()
            server.wait(30)


def wait_for(server: subprocess.Popen, port: int, log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert server.poll() is None, log.read_text()
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
            return
        except OSError:
            time.sleep(0.1)
    raise TimeoutError(log.read_text())


@pytest.fixture(scope="session")
def template(s3: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_project(tmp_path_factory.mktemp("template") / "project")


@pytest.fixture
def project(template: Path, s3: Server, tmp_path: Path) -> Project:
    """A committed project whose stages have run, with a remote of its own on the server."""
    root = tmp_path / "project"
    shutil.copytree(template, root, symlinks=True)
    mine = Project(root, s3.client, s3.log, tmp_path.name)
    mine.add_remote("store", s3.client.meta.endpoint_url)
    return mine
