"""What is released and what is not, as the report tells it: of real decisions about made-up files."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import ArtifactError
from pipeline.inspection.records import TEACHER, read_inspected, write_inspected
from pipeline.records.artifacts import LayerLoss
from pipeline.reporting.charts import layer_costs, pareto
from pipeline.reporting.deployment import (
    ParetoPoint,
    decision_rows,
    latency_rows,
    machines,
    pareto_front,
    pareto_points,
)
from pipeline.reporting.inputs import Inputs, load
from pipeline.reporting.report import write_report
from pipeline.reporting.summary import summarize
from tests.raising import raises
from tests.reporting.conftest import MIOU, FakeProfile
from tests.reporting.release_records import (
    JUDGED,
    LATENCY_MS,
    LOST_POINTS,
    NO_GPU,
    NO_TENSORRT,
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
    run = inputs.runs["pspnet_r18"]
    assert [(d.runtime, d.precision) for d in run.decisions if run.is_noisy(d)] == [("openvino", "int8")]
    runs = summarize("", inputs)["runs"]
    assert [run["run"] for run in runs if run["fastest"] and run["fastest"]["noisy"]] == ["pspnet_r18"]


def test_nothing_of_a_rejected_run_ships(inputs: Inputs) -> None:
    run = inputs.runs[REJECTED]
    (reason,) = run.release.reasons
    named = ("p90", "5.41 ms", "model_int8.onnx", "openvino", "4 ms", "release.max_p90_ms")
    assert all(value in reason for value in named), reason
    assert run.shipping == []
    assert run.fastest is None


def test_decisions_of_which_nothing_is_known_share_a_row(inputs: Inputs) -> None:
    rows = decision_rows(inputs.runs[JUDGED])
    assert [(row[0].runtime, *(decision.precision for decision in row)) for row in rows] == [
        ("onnxruntime", "fp32"),
        ("onnxruntime", "fp16"),
        ("onnxruntime", "int8"),
        ("openvino", "fp32"),
        ("openvino", "int8"),
        ("tensorrt", "fp32", "fp16", "int8"),
    ]
    assert [row[0].verdict for row in rows] == ["accepted", "rejected", "accepted", "accepted", "accepted", "undecided"]
    run = inputs.runs[JUDGED]
    assert [row[0] == run.fastest for row in rows] == [False, False, False, False, True, False]
    files = [run.of_runtime[row[0].file, row[0].runtime].file for row in rows]
    assert files[2] == files[4] == "model_int8.onnx"
    last = decision_rows(inputs.runs[OVER_BUDGET])[-2:]
    assert [[(d.verdict, d.precision) for d in row] for row in last] == [
        [("undecided", "fp32"), ("undecided", "fp16")],
        [("rejected", "int8")],
    ]
    alike = [replace(decision, verdict="rejected", reason="") for decision in run.decisions]
    assert len(decision_rows(replace(run, decisions=alike))) == len(run.decisions), "each has numbers to show"


def test_a_decision_about_an_unknown_file_is_refused(profile: FakeProfile) -> None:
    path = profile.folders.release / JUDGED / "numerics.yaml"
    path.write_text(path.read_text().replace("model_fp16.onnx", "other.onnx"))
    with raises(ArtifactError, path, "stage release", "other.onnx"):
        load(profile.runs, "test", profile.folders)


@pytest.mark.parametrize(
    "text", ["run: [", "decisions: []\n", "- 1\n", "run: x\ndecisions: [{runtime: 1}]\n", "? [a]\n"]
)
def test_decisions_that_are_none_are_refused(profile: FakeProfile, text: str) -> None:
    (profile.folders.release / JUDGED / "numerics.yaml").write_text(text)
    with raises(ArtifactError, "numerics.yaml", "stage release", "dvc repro"):
        load(profile.runs, "test", profile.folders)


def test_an_export_without_a_full_graph_is_refused(profile: FakeProfile) -> None:
    _change(profile, "export", JUDGED, lambda record: record.update(artifacts=record["artifacts"][1:]))
    with raises(ArtifactError, "pspnet_r18_gdd.json", "stage export", "fp32"):
        load(profile.runs, "test", profile.folders)


def test_a_reason_is_told_once(written: Path) -> None:
    page = (written / "index.html").read_text(encoding="utf-8")
    reasons = [f'id="reason-{number}">{reason}<' for number, reason in enumerate((NO_GPU, NO_TENSORRT), start=1)]
    assert [page.count(reason) for reason in reasons] == [1, 1]
    marked = [re.findall(r"#reason-(\d)", line) for line in page.splitlines() if "#reason-" in line]
    assert sorted(number for (number,) in marked) == ["1"] * 11 + ["2"] * 12, "one of 24 engines ran"


def test_runs_timed_on_another_machine_stand_apart(profile: FakeProfile) -> None:
    _change(profile, "benchmark", REJECTED, lambda record: record["machine"].update(cpu="Another CPU"))
    inputs = load(profile.runs, "test", profile.folders)
    found = machines(inputs.runs.values())
    assert list(found.values()) == [["pspnet_r18", "pspnet_r18_gdd", "deeplabv3_r18_gdd"], ["deeplabv3_r18"]]


def test_latency_has_a_row_for_each_artifact_and_runtime(inputs: Inputs) -> None:
    at, times_eager = zip(*latency_rows(inputs.runs[JUDGED]), strict=True)
    wholes = [row["image_to_labels"] for row in at]
    assert [(whole.runtime, whole.precision) for whole in wholes] == [*TIMES_FP32, ("onnxruntime", "fp32")]
    assert set(at[1]) == {"device_compute", "with_copies", "image_to_labels", "file_to_labels"}
    assert wholes[1].p50_ms == LATENCY_MS[JUDGED]
    assert [whole.shape for whole in wholes] == [*[inputs.runs[JUDGED].shape] * 6, (4, 96, 144)]
    assert times_eager[0] is None
    assert times_eager[3] == pytest.approx(1.9 / 0.29)
    assert times_eager[6] is None, "eager was not measured with a batch of 4"
    assert {times for _, times in latency_rows(inputs.runs[REJECTED])} == {None}, "eager was noisy"


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


def test_the_latency_tile_is_about_what_ships(written: Path, profile: FakeProfile) -> None:
    label, value, detail = _tiles(written)[2]
    assert value == "3.08 ms"
    assert all(part in label for part in ("int8", "OpenVINO"))
    assert all(part in detail for part in ("7.0", "PyTorch", "p50", "2 threads", "Made-up CPU"))
    path = profile.folders.release / JUDGED / "manifest.json"
    path.write_text(path.read_text().replace('"released"', '"rejected"'))
    _, value, detail = _tiles(_written(profile))[2]
    assert value == "n/a"
    assert JUDGED in detail


def test_the_other_tiles_compare_the_best_student(written: Path, profile: FakeProfile) -> None:
    quality, gain, _, size = _tiles(written)
    assert [tile[1] for tile in (quality, gain, size)] == ["54.7 %", "+2.6 points", "12.40 M"]
    assert all(part in quality[2] for part in ("pspnet_r18_gdd", "63.1 %", "6 test"))
    assert all(part in gain[2] for part in ("pspnet_r18 ", "52.1 %"))
    assert all(part in size[2] for part in ("23.90 M", "1.9"))
    alone = {name: run for name, run in profile.runs.items() if name == "pspnet_r18"}
    path = profile.folders.inspection / "samples.jsonl"
    known = {TEACHER, *alone}
    write_inspected(
        path,
        [replace(s, networks={n: of for n, of in s.networks.items() if n in known}) for s in read_inspected(path)],
    )
    label, value, detail = _tiles(_written(profile._replace(runs=alone)))[1]
    assert "distillation" in label
    assert value == "n/a"
    assert "baseline" in detail


def _written(profile: FakeProfile) -> Path:
    write_report(profile.report, profile.runs, "test", 1, profile.folders, profile.out)
    return profile.out


def _tiles(report: Path) -> list[tuple[str, ...]]:
    """Label, value and detail of each tile on the page."""
    page = (report / "index.html").read_text(encoding="utf-8").replace("\N{NARROW NO-BREAK SPACE}", " ")
    spans = re.findall(r'<span class="tile-\w+">(.*?)</span>', page, re.DOTALL)
    return [tuple(span.strip() for span in spans[start : start + 3]) for start in range(0, len(spans), 3)]
