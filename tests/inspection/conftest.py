"""FiftyOne on a database of this test process, and a profile to look at."""

import os
from pathlib import Path
from types import ModuleType

import pytest

from pipeline.inspection.database import connect
from tests.inspection.toy_profile import ToyProfile


@pytest.fixture(scope="session")
def app(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """The module pipeline.inspection.app, connected to a database that ends with the test process."""
    before = dict(os.environ)
    os.environ.pop("FIFTYONE_DATABASE_URI", None)
    connect(tmp_path_factory.mktemp("inspect"), share=False)
    from pipeline.inspection import app

    os.environ.clear()  # FiftyOne has read it, and other tests must not see it
    os.environ.update(before)
    return app


@pytest.fixture
def profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ToyProfile:
    """The profile's folder is the current one."""
    monkeypatch.chdir(tmp_path)
    return ToyProfile(tmp_path)
