"""Reference vectors, the real data where they are, and what every test shares."""

import os
from pathlib import Path
from typing import Any

import colorama
import pytest
import torch
from hypothesis import settings

from tests.vectors.reading import read_vectors

# No deadline: time is for benchmarks, not for tests. `make test-all` takes the thorough one.
settings.register_profile("thorough", deadline=None, max_examples=100)
settings.register_profile("quick", deadline=None, max_examples=20)
settings.load_profile("quick")

# Importing DVC's tools calls it, which wraps pytest's stdout. pytest closes that one after the test.
colorama.init = lambda *_, **__: None

THREADS = torch.get_num_threads()  # OMP_NUM_THREADS
VECTORS = Path(__file__).parent / "vectors"
TOGETHER = ("tests/faults", "tests/reporting")
LONG = (
    "tests/faults/", "tests/test_benchmarks.py", "tests/test_fewer_operations.py", "tests/test_newcomer.py",
    "tests/test_own_dataset.py", "tests/test_pipeline_smoke.py", "tests/test_reruns.py", "tests/versions/",
)  # fmt: skip


def pytest_configure() -> None:
    """Give each worker of pytest-xdist a core of its own; whatever asks how many there are then takes one thread."""
    if worker := os.environ.get("PYTEST_XDIST_WORKER"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[int(worker.removeprefix("gw")) % len(cores)]})


def pytest_runtest_call() -> None:
    """Take back the threads that an earlier test asked for: on busy cores two take five times as long as one."""
    torch.set_num_threads(THREADS)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--vectors",
        action="append",
        default=[],
        metavar="DIR",
        help="compare with the reference vectors of DIR as well",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that takes `vector` runs once for every vector of the methods named by its `vectors` marker."""
    if "vector" not in metafunc.fixturenames:
        return
    marker = metafunc.definition.get_closest_marker("vectors")
    assert marker is not None, f"{metafunc.function.__name__} takes a vector and must be marked with vectors(METHOD)"
    folders = [VECTORS, *map(Path, metafunc.config.getoption("vectors"))]
    chosen = [vector for folder in folders for vector in read_vectors(folder) if vector.name.startswith(marker.args)]
    metafunc.parametrize("vector", chosen, ids=[f"{vector.folder.name}/{vector.name}" for vector in chosen])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes minutes, so that the last worker does not end long after the others."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONG))


@pytest.hookimpl(optionalhook=True)  # the GPU machine has no pytest-xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """By files, as --dist loadfile does; and whole folders whose files share a costly fixture."""
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class ByCostlyFixture(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return next((folder for folder in TOGETHER if file.startswith(f"{folder}/")), file)

    return ByCostlyFixture(config, log)


@pytest.fixture(scope="session")
def camvid() -> Path:
    """Folder of the real CamVid in the layout of the SegNet tutorial."""
    folder = os.environ.get("SEGDISTILL_CAMVID")
    if not folder:
        pytest.skip("SEGDISTILL_CAMVID does not name a folder with CamVid (train/ trainannot/ val/ ...)")
    return Path(folder)
