"""Every number of summary.json comes from the file that it should come from."""

import json

import pytest

from pipeline.reporting.inputs import Inputs, load
from pipeline.reporting.summary import summarize
from tests.reporting.conftest import MIOU, FakeProfile
from tests.reporting.release_records import JUDGED, LATENCY_MS, LOST_POINTS, NO_GPU, REJECTED


def _material(pristine: FakeProfile) -> Inputs:
    return load(pristine.runs, "test", pristine.folders)


def test_numbers_are_those_of_the_stages(pristine: FakeProfile) -> None:
    record = json.loads(json.dumps(summarize("A title", _material(pristine))))
    assert list(record) == ["profile_title", "teacher", "runs", "machine"]
    assert record["profile_title"] == "A title"
    assert record["teacher"] == {
        "miou": MIOU["teacher"],
        "pixel_accuracy": MIOU["teacher"] + 0.28,
        "architecture": "pspnet",
        "backbone": "resnet34",
    }
    assert record["machine"]["cpu"] == "Made-up CPU"
    assert [run["run"] for run in record["runs"]] == list(pristine.runs)
    run = record["runs"][3]
    engines, decisions = run.pop("engines"), run.pop("decisions")
    assert run.pop("gain_points") == pytest.approx(-0.6)
    assert run == {
        "run": "deeplabv3_r18_gdd", "architecture": "deeplabv3", "method": "gdd", "seed": 0,
        "predicted_absent": {"bicyclist": 1234},
        "miou": MIOU["deeplabv3_r18_gdd"], "baseline_miou": MIOU["deeplabv3_r18"],
        "pixel_accuracy": MIOU["deeplabv3_r18_gdd"] + 0.28, "params": 12_400_000, "gmacs": 6.21,
        "onnx_pixel_agreement": 0.99998, "onnx_miou": MIOU["deeplabv3_r18_gdd"] - LOST_POINTS["fp32"] / 100,
        "latency_p50_ms": LATENCY_MS["deeplabv3_r18_gdd"], "latency_runtime": "onnxruntime",
        "latency_boundary": "image_to_labels", "release": "released", "release_reasons": [], "signed": False,
        "fastest": {
            "runtime": "onnxruntime", "precision": "fp32", "file": "model.onnx", "noisy": False,
            "times_eager": pytest.approx(1.9),
            "miou": MIOU["deeplabv3_r18_gdd"] - LOST_POINTS["fp32"] / 100, "p50_ms": LATENCY_MS["deeplabv3_r18_gdd"],
        },
    }  # fmt: skip
    assert [(d["runtime"], d["precision"], d["verdict"]) for d in decisions] == [
        ("onnxruntime", "fp32", "accepted"), ("onnxruntime", "fp16", "rejected"), ("onnxruntime", "int8", "rejected"),
        ("openvino", "fp32", "undecided"), ("openvino", "int8", "rejected"),
        ("tensorrt", "fp32", "undecided"), ("tensorrt", "fp16", "undecided"), ("tensorrt", "int8", "rejected"),
    ]  # fmt: skip
    assert engines[0] == {
        "precision": "fp32", "backend": "tensorrt_rtx", "status": "built", "executed": False, "reason": NO_GPU,
        "bytes": 51_000_000,
    }  # fmt: skip
    assert len(engines) == 6


def test_a_rejected_run_has_reasons_and_nothing_that_is_fastest(pristine: FakeProfile) -> None:
    runs = {run["run"]: run for run in summarize("", _material(pristine))["runs"]}
    assert runs[REJECTED]["release"] == "rejected"
    assert "release.max_p90_ms" in runs[REJECTED]["release_reasons"][0]
    assert runs[REJECTED]["fastest"] is None
    assert [name for name, run in runs.items() if run["signed"]] == [JUDGED]


def test_baselines_have_no_gain(pristine: FakeProfile) -> None:
    runs = summarize("", _material(pristine))["runs"]
    assert [run["gain_points"] is None for run in runs] == [True, False, True, False]
    assert runs[0]["baseline_miou"] == runs[0]["miou"]


def test_latency_is_of_onnxruntime_from_image_to_labels_or_null(profile: FakeProfile) -> None:
    path = profile.folders.metrics / "benchmark" / "pspnet_r18.json"
    record = json.loads(path.read_text())
    for entry in record["measurements"]:
        found = (entry["runtime"], entry["precision"], entry["boundary"])
        if found == ("onnxruntime", "fp32", "image_to_labels"):
            entry.update(status="not run", reason="broken")
    path.write_text(json.dumps(record))
    runs = summarize("", _material(profile))["runs"]
    assert runs[0]["latency_p50_ms"] is None
    assert runs[1]["latency_p50_ms"] == LATENCY_MS["pspnet_r18_gdd"]
