"""Training curves as the other stages leave them."""

from pathlib import Path

import pytest

from pipeline.errors import ArtifactError
from pipeline.reporting.tables import read_curve
from tests.raising import raises


def test_a_curve_has_what_was_logged(tmp_path: Path) -> None:
    path = tmp_path / "training.csv"
    path.write_text("iteration,task,distill,agreement\n10,1.5,0.5,0.25\n20,1.0,0.25,0.75\n")
    curve = read_curve(path, "student")
    assert curve.iteration.tolist() == [10, 20]
    assert curve.task.tolist() == [1.5, 1.0]
    assert curve.distill is not None
    assert curve.agreement is not None
    assert (curve.distill.tolist(), curve.agreement.tolist()) == ([0.5, 0.25], [0.25, 0.75])


def test_a_baselines_curve_has_no_teacher(tmp_path: Path) -> None:
    path = tmp_path / "training.csv"
    path.write_text("iteration,task\n10,1.5\n")
    curve = read_curve(path, "student")
    assert curve.distill is None
    assert curve.agreement is None


@pytest.mark.parametrize(
    "text", ["", "iteration,task\n", "iteration,task,agreement\n10,1,x\n", "iteration,loss\n1,2\n"]
)
def test_what_is_no_curve_is_said_to_be_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "training.csv"
    path.write_text(text)
    with raises(ArtifactError, path, "stage student"):
        read_curve(path, "student")
