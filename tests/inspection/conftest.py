"""FiftyOne on a database of this test process, and a profile to look at."""

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from pipeline.inspection.database import fiftyone_environment, own_server
from pipeline.inspection.mongod import find_mongod
from tests.inspection.toy_profile import ToyProfile


@pytest.fixture(scope="session")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """The module pipeline.inspection.app, connected to a server that lives as long as the session."""
    folder = tmp_path_factory.mktemp("inspect")
    with own_server(folder, find_mongod()) as uri:
        with pytest.MonkeyPatch.context() as environment:  # FiftyOne reads it once; other tests must not see it
            for name, value in fiftyone_environment(uri, folder).items():
                environment.setenv(name, value)
            from pipeline.inspection import app
        with app.client():
            yield app


@pytest.fixture
def profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ToyProfile:
    """The profile's folder is the current one."""
    monkeypatch.chdir(tmp_path)
    return ToyProfile(tmp_path)
