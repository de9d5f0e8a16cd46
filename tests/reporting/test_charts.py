"""Shares, confusions and colors."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.axes import Axes

from pipeline.reporting.charts import class_balance
from pipeline.reporting.inputs import load
from pipeline.reporting.style import run_colors
from tests.reporting.conftest import FakeProfile


def test_shares_of_pixels(pristine: FakeProfile, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn, barh = [], Axes.barh

    def noted(axes: Axes, rows: np.ndarray, shares: np.ndarray, *size: float, **style: str) -> None:
        drawn.append((style["label"], shares))
        barh(axes, rows, shares, *size, **style)

    monkeypatch.setattr(Axes, "barh", noted)
    statistics = load(pristine.runs, "test", pristine.folders).statistics
    class_balance(statistics)
    entry = statistics.splits["val"]
    assert [label for label, _ in drawn] == ["train", "val", "test"]
    assert np.isclose(sum(drawn[1][1]), 100)
    assert drawn[1][1][3] == 100 * entry.pixels[3] / sum(entry.pixels)


def test_most_confused_names_label_then_prediction(pristine: FakeProfile) -> None:
    teacher = load(pristine.runs, "test", pristine.folders).teacher
    evaluation = replace(teacher.evaluation, iou_per_class=dict.fromkeys(["road", "sky", "car"]))
    confusion = np.array([[8, 2, 0], [0, 0, 0], [30, 10, 60]])
    network = replace(teacher, evaluation=evaluation, confusion=confusion)
    assert network.most_confused() == [("car", "road", 0.3), ("road", "sky", 0.2), ("car", "sky", 0.1)]
    assert replace(network, confusion=np.eye(3)).most_confused() == []


def test_every_run_has_a_color_of_its_own() -> None:
    families = [[f"base{i}", f"gdd{i}", f"again{i}"] for i in range(6)]
    colors = run_colors(families)
    assert len(set(colors.values())) == 18
    assert set(colors) == {name for names in families for name in names}
