"""Shares, confusions, notes, colors and the front of the best runs."""

import json

import numpy as np

from pipeline.reporting.charts import run_colors
from pipeline.reporting.comparison import Spot, pareto_front
from pipeline.reporting.findings import class_shares, engine_rows, machines, most_confused, void_shares
from pipeline.reporting.material import gather
from tests.reporting.conftest import NO_GPU, FakeProfile


def test_shares_of_pixels(pristine: FakeProfile) -> None:
    statistics = gather(pristine.runs, "test", pristine.folders).statistics
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


def test_a_reason_is_told_once(pristine: FakeProfile) -> None:
    rows, reasons = engine_rows(list(gather(pristine.runs, "test", pristine.folders).runs.values()))
    assert reasons == [NO_GPU, "package tensorrt is not installed here"]
    assert [row.note for row in rows["deeplabv3_r18"]] == [1, 2, 1, 2]


def test_runs_timed_on_another_machine_stand_apart(profile: FakeProfile) -> None:
    path = profile.folders.metrics / "profile" / "deeplabv3_r18.json"
    record = json.loads(path.read_text())
    record["machine"]["cpu"] = "Another CPU"
    path.write_text(json.dumps(record))
    found = machines(gather(profile.runs, "test", profile.folders))
    assert [names for names, _ in found] == [["pspnet_r18", "pspnet_r18_gdd", "deeplabv3_r18_gdd"], ["deeplabv3_r18"]]


def test_pareto_front_keeps_runs_that_no_other_beats() -> None:
    places = {"slow_best": (9, 0.7), "fast": (2, 0.5), "beaten": (5, 0.5), "middle": (4, 0.6), "same_time": (4, 0.55)}
    spots = [Spot(name, latency_ms, miou, "", False) for name, (latency_ms, miou) in places.items()]
    assert [spot.run for spot in pareto_front(spots)] == ["fast", "middle", "slow_best"]


def test_every_run_has_a_color_of_its_own() -> None:
    families = {f"base{i}": [f"base{i}", f"gdd{i}", f"again{i}"] for i in range(6)}
    colors = run_colors(families)
    assert len(set(colors.values())) == 18
    assert set(colors) == {name for names in families.values() for name in names}
