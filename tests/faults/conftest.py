"""One undisturbed repro, which all faults are compared with."""

from pathlib import Path

import pytest

from tests.faults.contents import UNTIMED
from tests.faults.disturbed import undisturbed
from tests.small_profile import run, write_small_profile


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, float]]:
    """A profile after a repro that nobody disturbed, and the seconds that each of its stages took."""
    folder = tmp_path_factory.mktemp("faults") / "whole"
    write_small_profile(folder, ["pspnet_r18"], **UNTIMED)
    run(["dvc", "init", "--no-scm", "--quiet"], folder)
    return folder, undisturbed(folder)


@pytest.fixture(scope="session")
def whole(finished: tuple[Path, dict[str, float]]) -> Path:
    return finished[0]


@pytest.fixture(scope="session")
def seconds(finished: tuple[Path, dict[str, float]]) -> dict[str, float]:
    return finished[1]
