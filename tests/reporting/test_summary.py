"""Every number of summary.json comes from the file that it should come from."""

import json
from dataclasses import asdict

import pytest

from pipeline.reporting.material import Material, gather
from pipeline.reporting.summary import summarize
from tests.reporting.conftest import LATENCY_MS, MIOU, NO_GPU, FakeProfile


def _material(pristine: FakeProfile) -> Material:
    return gather(pristine.runs, "test", pristine.folders)


def test_numbers_are_those_of_the_stages(pristine: FakeProfile) -> None:
    record = json.loads(json.dumps(asdict(summarize("A title", _material(pristine)))))
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
    engines = run.pop("engines")
    assert run.pop("gain_points") == pytest.approx(-0.6)
    assert run == {
        "run": "deeplabv3_r18_gdd", "architecture": "deeplabv3", "method": "gdd", "seed": 0,
        "miou": MIOU["deeplabv3_r18_gdd"], "baseline_miou": MIOU["deeplabv3_r18"],
        "pixel_accuracy": MIOU["deeplabv3_r18_gdd"] + 0.28, "params": 12_400_000, "gmacs": 6.21,
        "onnx_pixel_agreement": 0.99998, "onnx_miou": MIOU["deeplabv3_r18_gdd"] - 1e-5,
        "latency_p50_ms": LATENCY_MS["deeplabv3_r18_gdd"], "latency_runtime": "onnxruntime", "release": "released",
    }  # fmt: skip
    assert engines[0] == {
        "precision": "fp32", "backend": "tensorrt_rtx", "status": "built", "executed": False, "reason": NO_GPU,
        "bytes": 51_000_000,
    }  # fmt: skip
    assert len(engines) == 4


def test_baselines_have_no_gain(pristine: FakeProfile) -> None:
    runs = summarize("", _material(pristine)).runs
    assert [run.gain_points is None for run in runs] == [True, False, True, False]
    assert runs[0].baseline_miou == runs[0].miou


def test_latency_is_of_onnxruntime_from_image_to_labels_or_null(profile: FakeProfile) -> None:
    path = profile.folders.metrics / "profile" / "pspnet_r18.json"
    record = json.loads(path.read_text())
    for entry in record["measurements"]:
        if (entry["runtime"], entry["boundary"]) == ("onnxruntime", "image_to_labels"):
            entry.update(status="not run", reason="broken")
    path.write_text(json.dumps(record))
    runs = summarize("", _material(profile)).runs
    assert runs[0].latency_p50_ms is None
    assert runs[1].latency_p50_ms == LATENCY_MS["pspnet_r18_gdd"]
