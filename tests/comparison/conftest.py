"""A place for comparisons of toys."""

from pathlib import Path

import pytest

from pipeline.comparison.plan import Places
from tests.toy import write_toy_samples


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """Samples are there; the teacher is not."""
    samples = write_toy_samples(tmp_path / "data")
    return Places(
        classes=tmp_path / "data/classes.json",
        samples=samples,
        statistics=tmp_path / "data/statistics.json",
        teacher=tmp_path / "teacher.safetensors",
        pretrained=tmp_path / "none",
        scratch=tmp_path / "scratch",
        runs=tmp_path / "runs",
        reports=tmp_path / "reports",
    )
