"""Shares, confusions and colors."""

import numpy as np

from pipeline.reporting.inputs import load
from pipeline.reporting.statistics import class_shares, most_confused, void_shares
from pipeline.reporting.style import run_colors
from tests.reporting.conftest import FakeProfile


def test_shares_of_pixels(pristine: FakeProfile) -> None:
    statistics = load(pristine.runs, "test", pristine.folders).statistics
    entry = statistics.splits["val"]
    shares = class_shares(statistics)["val"]
    assert np.isclose(sum(shares), 1)
    assert shares[3] == entry.pixels[3] / sum(entry.pixels)
    assert void_shares(statistics)["val"] == 320_000 / (sum(entry.pixels) + 320_000)


def test_most_confused_names_label_then_prediction() -> None:
    confusion = np.array([[8, 2, 0], [0, 0, 0], [30, 10, 60]])
    found = [(c.label, c.prediction, round(c.share, 2)) for c in most_confused(confusion, ["road", "sky", "car"])]
    assert found == [("car", "road", 0.3), ("road", "sky", 0.2), ("car", "sky", 0.1)]
    assert most_confused(np.eye(3), ["road", "sky", "car"]) == []


def test_every_run_has_a_color_of_its_own() -> None:
    families = {f"base{i}": [f"base{i}", f"gdd{i}", f"again{i}"] for i in range(6)}
    colors = run_colors(families)
    assert len(set(colors.values())) == 18
    assert set(colors) == {name for names in families.values() for name in names}
