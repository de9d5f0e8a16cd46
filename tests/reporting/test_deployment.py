"""What ships and what does not, as the report tells it: of real decisions about made-up files."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from pipeline.errors import ArtifactError
from pipeline.records.artifacts import LayerLoss
from pipeline.reporting.deployment import (
    ParetoPoint,
    decision_rows,
    engine_rows,
    latency_rows,
    machines,
    pareto_front,
    pareto_points,
)
from pipeline.reporting.inputs import Inputs, load
from pipeline.reporting.overview import tiles
from pipeline.reporting.result_charts import layer_costs, pareto
from pipeline.reporting.summary import summarize
from tests.reporting.conftest import MIOU, FakeProfile
from tests.reporting.release_records import (
    JUDGED,
    LATENCY_MS,
    LOST_POINTS,
    NO_GPU,
    OVER_BUDGET,
    REJECTED,
    TIMES_FP32,
)


@pytest.fixture(scope="module")
def inputs(pristine: FakeProfile) -> Inputs:
    return load(pristine.runs, "test", pristine.folders)


def _change(profile: FakeProfile, stage: str, run: str, change: Callable[[dict[str, Any]], None]) -> None:
    """Rewrite the metrics of a stage."""
    path = profile.folders.metrics / stage / f"{run}.json"
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))


def test_a_run_ships_its_files_fastest_first(inputs: Inputs) -> None:
    shipping = [(d.runtime, d.precision) for d in inputs.runs[JUDGED].shipping]
    assert shipping == [("openvino", "int8"), ("onnxruntime", "int8"), ("openvino", "fp32"), ("onnxruntime", "fp32")]
    assert [(d.runtime, d.precision) for d in inputs.runs[OVER_BUDGET].shipping] == [("onnxruntime", "fp32")]


def test_a_noisy_time_is_marked_where_it_decides(inputs: Inputs) -> None:
    noisy = [(r.decision.runtime, r.decision.precision) for r in decision_rows(inputs.runs["pspnet_r18"]) if r.is_noisy]
    assert noisy == [("openvino", "int8")]
    assert [run.run for run in summarize("", inputs).runs if run.fastest and run.fastest.noisy] == ["pspnet_r18"]


def test_nothing_of_a_rejected_run_ships(inputs: Inputs) -> None:
    run = inputs.runs[REJECTED]
    assert run.release.reasons == [
        "p90 5.41 ms of model_int8.onnx with openvino, allowed are 4 ms (release.max_p90_ms)"
    ]
    assert run.shipping == []
    assert not any(row.is_fastest for row in decision_rows(run))


def test_decisions_of_which_nothing_is_known_share_a_row(inputs: Inputs) -> None:
    rows = decision_rows(inputs.runs[JUDGED])
    assert [(r.decision.runtime, r.decision.precision, r.also) for r in rows] == [
        ("onnxruntime", "fp32", []),
        ("onnxruntime", "fp16", []),
        ("onnxruntime", "int8", []),
        ("openvino", "fp32", []),
        ("openvino", "int8", []),
        ("tensorrt", "fp32", ["fp16", "int8"]),
    ]
    assert [r.decision.verdict for r in rows] == ["ships", "rejected", "ships", "ships", "ships", "undecided"]
    assert [r.is_fastest for r in rows] == [False, False, False, False, True, False]
    assert rows[2].artifact.file == rows[4].artifact.file == "model_int8.onnx"
    last = decision_rows(inputs.runs[OVER_BUDGET])[-2:]
    assert [(r.decision.verdict, r.also) for r in last] == [("undecided", ["fp16"]), ("rejected", [])]
    run = inputs.runs[JUDGED]
    alike = [replace(decision, verdict="rejected", reason="") for decision in run.decisions]
    assert len(decision_rows(replace(run, decisions=alike))) == len(run.decisions), "each has numbers to show"


def test_a_decision_about_an_unknown_file_is_refused(profile: FakeProfile) -> None:
    path = profile.folders.release / JUDGED / "numerics.yaml"
    path.write_text(path.read_text().replace("model_fp16.onnx", "other.onnx"))
    with pytest.raises(ArtifactError, match=r"numerics\.yaml.*stage release.*decides about other\.onnx"):
        load(profile.runs, "test", profile.folders)


@pytest.mark.parametrize(
    "text", ["run: [", "decisions: []\n", "- 1\n", "run: x\ndecisions: [{runtime: 1}]\n", "? [a]\n"]
)
def test_decisions_that_are_none_are_refused(profile: FakeProfile, text: str) -> None:
    (profile.folders.release / JUDGED / "numerics.yaml").write_text(text)
    with pytest.raises(ArtifactError, match=r"numerics\.yaml.*stage release.*dvc repro"):
        load(profile.runs, "test", profile.folders)


def test_an_export_without_a_full_graph_is_refused(profile: FakeProfile) -> None:
    _change(profile, "export", JUDGED, lambda record: record.update(artifacts=record["artifacts"][1:]))
    with pytest.raises(ArtifactError, match=r"pspnet_r18_gdd\.json.*stage export.*no fp32 graph"):
        load(profile.runs, "test", profile.folders)


def test_a_reason_is_told_once(inputs: Inputs) -> None:
    rows, reasons = engine_rows(list(inputs.runs.values()))
    assert reasons == [NO_GPU, "package tensorrt is not installed here"]
    assert [row.note for row in rows[REJECTED]] == [1, 2, 1, 2, 1, 2]
    assert [row.note for row in rows[JUDGED]] == [None, 2, 1, 2, 1, 2]


def test_runs_timed_on_another_machine_stand_apart(profile: FakeProfile) -> None:
    _change(profile, "benchmark", REJECTED, lambda record: record["machine"].update(cpu="Another CPU"))
    inputs = load(profile.runs, "test", profile.folders)
    found = machines(inputs)
    assert [names for names, _ in found] == [["pspnet_r18", "pspnet_r18_gdd", "deeplabv3_r18_gdd"], ["deeplabv3_r18"]]


def test_latency_has_a_row_for_each_artifact_and_runtime(inputs: Inputs) -> None:
    rows = latency_rows(inputs.runs[JUDGED])
    assert [(row.runtime, row.precision) for row in rows] == [*TIMES_FP32, ("onnxruntime", "fp32")]
    assert list(rows[1].at) == ["device_compute", "with_copies", "image_to_labels", "file_to_labels"]
    assert rows[1].at["image_to_labels"].p50_ms == LATENCY_MS[JUDGED]
    assert [row.other_shape for row in rows] == [*[None] * 6, (4, 96, 144)]
    assert rows[0].times_eager is None
    assert rows[3].times_eager == pytest.approx(1.9 / 0.29)
    assert rows[6].times_eager is None, "eager was not measured with a batch of 4"
    assert {row.times_eager for row in latency_rows(inputs.runs[REJECTED])} == {None}, "eager was noisy"


def test_a_gpu_is_not_compared_with_a_cpu(profile: FakeProfile) -> None:
    def eager_on_gpu(record: dict[str, Any]) -> None:
        for entry in record["measurements"]:
            if entry["runtime"] == "pytorch_eager":
                entry["provider"] = "cuda"

    _change(profile, "benchmark", JUDGED, eager_on_gpu)
    run = load(profile.runs, "test", profile.folders).runs[JUDGED]
    assert run.benchmark.times_eager("onnxruntime", 1.0, run.shape) is None
    assert run.benchmark.times_eager("tensorrt", 1.0, run.shape) == pytest.approx(1.9 * LATENCY_MS[JUDGED])


def test_pareto_points_are_the_fastest_of_each_precision_that_ships(inputs: Inputs) -> None:
    found = pareto_points(inputs.runs.values())
    places = {(s.run, s.precision): (s.latency_ms, s.miou) for s in found if s.run in (JUDGED, OVER_BUDGET)}
    assert places == {
        (JUDGED, "fp32"): (0.97 * LATENCY_MS[JUDGED], MIOU[JUDGED] - LOST_POINTS["fp32"] / 100),
        (JUDGED, "int8"): (0.27 * LATENCY_MS[JUDGED], MIOU[JUDGED] - LOST_POINTS["int8"] / 100),
        (OVER_BUDGET, "fp32"): (LATENCY_MS[OVER_BUDGET], MIOU[OVER_BUDGET] - LOST_POINTS["fp32"] / 100),
    }
    assert {s.run for s in found if not s.released} == {REJECTED}


def _point(run: str, latency_ms: float, miou: float, released: bool = True) -> ParetoPoint:
    return ParetoPoint(run, "fp32", latency_ms, miou, False, released)


def test_pareto_front_keeps_files_that_no_other_beats() -> None:
    places = {"slow_best": (9, 0.7), "fast": (2, 0.5), "beaten": (5, 0.5), "middle": (4, 0.6), "same_time": (4, 0.55)}
    best_but_rejected = _point("rejected", 1, 0.9, released=False)
    front = pareto_front([best_but_rejected, *(_point(name, *place) for name, place in places.items())])
    assert [point.run for point in front] == ["fast", "middle", "slow_best"]


def test_pareto_is_drawn_for_whatever_there_is() -> None:
    assert pareto([], 0.6, {}) is None
    colors = {"a": "#336699", "b": "#663399"}
    near = pareto([_point("a", 10, 0.5), _point("b", 12, 0.6)], 0.7, colors)
    far = pareto([_point("a", 10, 0.5), _point("b", 90, 0.6)], 0.7, colors)
    alone = pareto([_point("a", 10, 0.5, released=False)], 0.7, colors)
    assert near
    assert far
    assert alone
    assert near.svg != far.svg


def test_layers_are_drawn_for_runs_whose_layers_were_measured(inputs: Inputs) -> None:
    colors = dict.fromkeys(inputs.runs, "#336699")
    quantizations = {name: run.quantization for name, run in inputs.runs.items()}
    assert layer_costs(quantizations, colors)
    measured = quantizations.pop(JUDGED)
    assert layer_costs(quantizations, colors) is None
    gained = replace(measured, layers=[LayerLoss(name="a", lost_points=0.1), LayerLoss(name="b", lost_points=-0.2)])
    assert layer_costs({JUDGED: gained}, colors)


def test_the_latency_tile_is_about_what_ships(profile: FakeProfile) -> None:
    inputs = load(profile.runs, "test", profile.folders)
    tile = tiles(summarize("", inputs), inputs)[2]
    assert tile.label == "Latency, int8 on OpenVINO"
    assert "7.0 times as fast as PyTorch eager" in tile.detail
    path = profile.folders.release / JUDGED / "manifest.json"
    path.write_text(path.read_text().replace('"released"', '"rejected"'))
    inputs = load(profile.runs, "test", profile.folders)
    tile = tiles(summarize("", inputs), inputs)[2]
    assert (tile.value, tile.detail) == ("n/a", "no file of pspnet_r18_gdd ships")
