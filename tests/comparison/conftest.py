"""Paths for comparisons of toys."""

from pathlib import Path

import pytest

from pipeline.comparison.plan import ComparisonPaths
from tests.toy import write_toy_samples


@pytest.fixture
def paths(tmp_path: Path) -> ComparisonPaths:
    """Samples are there; the teacher is not."""
    return paths_in(tmp_path)


def paths_in(folder: Path) -> ComparisonPaths:
    samples = write_toy_samples(folder / "data")
    return ComparisonPaths(
        classes=folder / "data/classes.json",
        samples=samples,
        statistics=folder / "data/statistics.json",
        teacher=folder / "teacher.safetensors",
        pretrained=folder / "none",
        scratch=folder / "scratch",
        trials=folder / "trials",
        reports=folder / "reports",
    )
