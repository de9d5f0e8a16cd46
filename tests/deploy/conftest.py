"""A release that several tests look at, and a copy of it that a test may damage."""

import shutil
from pathlib import Path

import pytest

from pipeline.deploy.signing import make_key
from tests.deploy.release_material import RUN, Material, write_material


@pytest.fixture(scope="session")
def unreleased(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What stage release reads; not to be changed."""
    return write_material(tmp_path_factory.mktemp("material")).root


@pytest.fixture
def material(unreleased: Path, tmp_path: Path) -> Material:
    """A copy of it."""
    shutil.copytree(unreleased, tmp_path / "material")
    return Material(tmp_path / "material")


@pytest.fixture(scope="session")
def released(unreleased: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle; not to be changed."""
    root = tmp_path_factory.mktemp("released")
    shutil.copytree(unreleased, root / "material")
    return Material(root / "material").release()


@pytest.fixture
def bundle(released: Path, tmp_path: Path) -> Path:
    """A copy of the bundle."""
    shutil.copytree(released, tmp_path / RUN)
    return tmp_path / RUN


@pytest.fixture(scope="session")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A private key; its public one lies beside it as key.pub."""
    path = tmp_path_factory.mktemp("keys") / "key"
    make_key(path)
    return path
