"""Paths for comparisons of toys."""

from pathlib import Path

import pytest

from pipeline.comparison.plan import ComparisonPaths
from tests.toy import write_toy_samples


@pytest.fixture
def paths(tmp_path: Path) -> ComparisonPaths:
    """Samples are there; the teacher is not."""
    samples = write_toy_samples(tmp_path / "data")
    return ComparisonPaths(
        classes=tmp_path / "data/classes.json",
        samples=samples,
        statistics=tmp_path / "data/statistics.json",
        teacher=tmp_path / "teacher.safetensors",
        pretrained=tmp_path / "none",
        scratch=tmp_path / "scratch",
        trials=tmp_path / "trials",
        reports=tmp_path / "reports",
    )
