"""A real S3 server on this machine, and a small project whose stage makes bundles."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.versions.project import Project, make_project
from tests.versions.server import Server, own_settings


@pytest.fixture(scope="session", autouse=True)
def _own_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in own_settings(tmp_path_factory.mktemp("settings")).items():
            patch.setenv(name, value)
        patch.delenv("SEGDISTILL_PUBLIC_KEY", raising=False)
        yield


@pytest.fixture(scope="session")
def s3(_own_settings: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that runs for this session."""
    server = Server(tmp_path_factory.mktemp("s3") / "log")
    try:
        yield server
    finally:
        server.stop()


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
