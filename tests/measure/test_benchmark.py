"""What is measured, where a measurement begins and ends, and what becomes of rivals that cannot run."""

import json
import os
import signal
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from models.checkpoint import load_checkpoint, save_checkpoint
from models.export_wrappers import LabelsGraph
from pipeline.data.samples import read_samples
from pipeline.deploy.onnx_export import export_graph
from pipeline.errors import ArtifactError
from pipeline.measure.benchmark import benchmark_cases
from pipeline.measure.cases import BenchmarkCase, find_cases
from pipeline.measure.machine import TELLING_FLAGS, load_average, machine_record
from pipeline.measure.worker import BenchmarkError, Worker, calls_at_boundaries, open_case, time_boundaries
from pipeline.params.deployment import BenchmarkParams, ShapeParams
from pipeline.records.artifacts import Engine, Engines
from pipeline.records.benchmark import Protocol
from pipeline.records.files import write_record
from pipeline.runtime.artifacts import open_artifact
from segdistill_runtime.images import Resizing
from segdistill_runtime.runner import InputShape
from tests.made_records import made_artifact, made_export, made_quantization
from tests.raising import raises
from tests.toy import toy_pair, toy_segmenter, write_toy_samples

PROFILE = BenchmarkParams(
    runtimes=["pytorch_eager", "onnxruntime", "tensorrt"], warmup_calls=2, warmup_s=0.0, calls=66, min_s=0.0,
    max_s=20.0, rounds=3, threads=1, images=2, noisy_above=0.25,
)  # fmt: skip
PROTOCOL = Protocol(
    warmup_calls=1,
    warmup_s=0.0,
    calls=2,
    min_s=0.0,
    max_s=1.0,
    rounds=1,
    noisy_above=0.25,
    threads=1,
    split="val",
    images=1,
)
SHAPE = InputShape(1, 48, 64)
a_case = partial(BenchmarkCase, shape=SHAPE, resize="letterbox")
BOUNDARIES = ["device_compute", "with_copies", "image_to_labels", "file_to_labels"]
KEYS = {
    "runtime", "precision", "file", "provider", "threads", "batch", "height", "width", "boundary", "status", "reason",
    "calls", "p50_ms", "p90_ms", "p99_ms", "mean_ms", "min_ms", "coefficient_of_variation", "noisy",
    "throughput_images_per_s", "p50_ms_of_rounds", "peak_memory_mb",
}  # fmt: skip


@pytest.fixture(scope="module")
def run_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What the stages leave of one run, with an engine that was not built."""
    root = tmp_path_factory.mktemp("run")
    torch.manual_seed(0)
    segmenter, design = toy_segmenter()
    save_checkpoint(segmenter, design, {}, root / "checkpoint.safetensors")
    segmenter, design, _ = load_checkpoint(root / "checkpoint.safetensors")
    export_graph(LabelsGraph(segmenter), design, InputShape(1, 48, 64), 20, root / "model.onnx")
    export_graph(LabelsGraph(segmenter), design, InputShape(2, 32, 48), 20, root / "model_2x32x48.onnx")
    write_record(
        root / "export.json",
        made_export([made_artifact("model.onnx", "fp32", ["onnxruntime", "openvino", "tensorrt"])]),
    )
    quantized = [
        made_artifact("model_int8.onnx", "int8", ["onnxruntime", "openvino"]),
        made_artifact("model_int8_tensorrt.onnx", "int8", ["tensorrt"]),
    ]
    write_record(root / "quantize.json", made_quantization(quantized))
    built = Engine(
        precision="fp16", backend="tensorrt_rtx", version="1", compute_capabilities=["SM86"], file="a.engine", bytes=1,
        sha256="", source_file="model_fp16.onnx", source_sha256="", status="built", executed=False, accepted=None,
        reason="no GPU", parity=None,
    )  # fmt: skip
    missing = replace(built, backend="tensorrt", file="", status="not built", reason="not installed")
    write_record(root / "engine.json", Engines(run="toy", engines=[built, missing]))
    folders = dict.fromkeys(("export", "quantize", "engine"), root)
    metrics = {f"{stage}_metrics": root / f"{stage}.json" for stage in folders}
    return {"checkpoint": root / "checkpoint.safetensors", **folders, **metrics}


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    return write_toy_samples(tmp_path / "toy")


def _told(cases: list[BenchmarkCase]) -> list[tuple[str, str, str]]:
    return [(case.runtime, case.precision, case.path.name) for case in cases]


@pytest.mark.slow
def test_every_file_on_every_runtime_that_it_is_made_for(run_files: dict[str, Path]) -> None:
    everything = ["pytorch_eager", "pytorch_compiled", "onnxruntime", "onnxruntime_cuda", "openvino", "tensorrt"]
    cases = find_cases(SHAPE, "stretch", [ShapeParams(batch=2, height=32, width=48)], everything, **run_files)
    assert _told(cases) == [
        ("pytorch_eager", "fp32", "checkpoint.safetensors"),
        ("pytorch_compiled", "fp32", "checkpoint.safetensors"),
        ("onnxruntime", "fp32", "model.onnx"),
        ("onnxruntime_cuda", "fp32", "model.onnx"),
        ("openvino", "fp32", "model.onnx"),
        ("onnxruntime", "int8", "model_int8.onnx"),
        ("onnxruntime_cuda", "int8", "model_int8.onnx"),
        ("openvino", "int8", "model_int8.onnx"),
        ("onnxruntime", "fp32", "model_2x32x48.onnx"),
        ("onnxruntime_cuda", "fp32", "model_2x32x48.onnx"),
        ("openvino", "fp32", "model_2x32x48.onnx"),
        ("tensorrt_rtx", "fp16", "a.engine"),
        ("tensorrt", "fp16", "tensorrt"),
    ]
    assert [case.missing for case in cases if case.missing] == ["not installed"]
    assert {case.shape for case in cases} == {SHAPE, InputShape(2, 32, 48)}


@pytest.mark.slow
def test_only_the_runtimes_that_were_asked_for(run_files: dict[str, Path]) -> None:
    cases = find_cases(SHAPE, "stretch", [], ["openvino"], **run_files)
    assert _told(cases) == [("openvino", "fp32", "model.onnx"), ("openvino", "int8", "model_int8.onnx")]


@pytest.mark.slow
@pytest.mark.parametrize("text", [None, "", "[]", '{"artifacts": null}', '{"artifacts": [{"file": "model.onnx"}]}'])
def test_metrics_that_do_not_list_files_are_refused(
    run_files: dict[str, Path], tmp_path: Path, text: str | None
) -> None:
    if text is not None:
        (tmp_path / "export.json").write_text(text)
    files = {**run_files, "export_metrics": tmp_path / "export.json"}
    with raises(ArtifactError, tmp_path / "export.json", "stage export"):
        find_cases(SHAPE, "stretch", [], ["onnxruntime"], **files)


@pytest.mark.slow
def test_all_boundaries_compute_the_same_labels(run_files: dict[str, Path], tmp_path: Path) -> None:
    paths, resizing = [], Resizing(32, 48, "letterbox")
    for seed in range(3):
        paths.append(tmp_path / f"{seed}.png")
        Image.fromarray(toy_pair(seed, 60, 80)[0]).save(paths[-1])  # larger than the graph
    with open_artifact(run_files["export"] / "model_2x32x48.onnx", 1) as runner:
        calls = calls_at_boundaries(runner, paths, 2, resizing)
        assert list(calls) == BOUNDARIES
        for i in range(4):
            labels = np.asarray(calls["with_copies"](i))
            assert labels.shape == (2, 32, 48)
            restored = np.stack([resizing.undo(each, 60, 80) for each in labels])
            assert (restored == calls["image_to_labels"](i)).all()
            assert (restored == calls["file_to_labels"](i)).all()
        first = calls["device_compute"](0)
        assert (first.numpy() == calls["with_copies"](0)).all()  # type: ignore[attr-defined]
        assert (np.asarray(calls["with_copies"](0))[0] == np.asarray(calls["with_copies"](1))[1]).all(), "3 images"


@pytest.mark.slow
def test_a_run_is_measured_at_every_boundary(run_files: dict[str, Path], samples: Path, tmp_path: Path) -> None:
    checkpoint, graph = run_files["checkpoint"], run_files["export"] / "model.onnx"
    cases = [
        a_case(runtime="pytorch_eager", precision="fp32", path=checkpoint),
        a_case(runtime="onnxruntime", precision="fp32", path=graph),
        a_case(runtime="tensorrt", precision="fp16", path=tmp_path / "tensorrt", missing="not installed"),
    ]
    if not torch.cuda.is_available():
        cases.append(a_case(runtime="onnxruntime_cuda", precision="fp32", path=graph))
    benchmark_cases("toy", PROFILE, "test", cases, samples, tmp_path / "profile.json")
    record = json.loads((tmp_path / "profile.json").read_text())
    assert record["run"] == "toy"
    assert {"calls": 66, "rounds": 3, "threads": 1, "split": "test", "images": 2}.items() <= record["protocol"].items()
    assert record["machine"]["load_average_before"] >= 0
    measurements = record["measurements"]
    assert all(set(entry) == KEYS for entry in measurements)
    measured = [entry for entry in measurements if entry["status"] == "measured"]
    assert [(entry["runtime"], entry["boundary"]) for entry in measured] == [
        (runtime, boundary) for runtime in ("pytorch_eager", "onnxruntime") for boundary in BOUNDARIES
    ]
    for entry in measured:
        assert entry["calls"] == 66
        assert len(entry["p50_ms_of_rounds"]) == 3
        assert min(entry["p50_ms_of_rounds"]) <= entry["p50_ms"] <= max(entry["p50_ms_of_rounds"])
        assert 0 < entry["min_ms"] <= entry["p50_ms"] <= entry["p90_ms"]
        assert entry["p99_ms"] is None
    assert {entry["provider"] for entry in measured} >= {"CPUExecutionProvider"}
    memory = {entry["runtime"]: entry["peak_memory_mb"] for entry in measured}
    assert memory["onnxruntime"] < memory["pytorch_eager"], "PyTorch must not be in ONNX Runtime's process"
    reasons = {entry["runtime"]: entry["reason"] for entry in measurements if entry["status"] == "not run"}
    assert reasons["tensorrt"] == "not installed"
    assert torch.cuda.is_available() or "CUDAExecutionProvider" in reasons["onnxruntime_cuda"]
    (share,) = record["postprocessing"]
    assert (share["file"], share["operators"][-1]) == ("model.onnx", "Cast")
    assert share["share_of_network"] > 0


def test_a_damaged_artifact_ends_the_stage_with_its_message(samples: Path, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"rubbish")
    case = a_case(runtime="onnxruntime", precision="fp32", path=tmp_path / "model.onnx")
    with raises(BenchmarkError, "onnxruntime", "FileRefused", tmp_path / "model.onnx", "ONNX"):
        benchmark_cases("toy", PROFILE, "test", [case], samples, tmp_path / "profile.json")
    assert not (tmp_path / "profile.json").exists()


@pytest.mark.slow
def test_a_process_that_dies_is_named(run_files: dict[str, Path], samples: Path) -> None:
    images = [sample.image for sample in read_samples(samples, "test")]
    case = a_case(runtime="onnxruntime", precision="fp32", path=run_files["export"] / "model.onnx")
    with Worker(case, PROTOCOL, images) as worker:
        assert worker.ask(open_case).unavailable == ""
        assert worker.ask(time_boundaries).seconds.keys() == set(BOUNDARIES)
        os.kill(worker.pool.submit(os.getpid).result(), signal.SIGKILL)
        with raises(BenchmarkError, case.path, "onnxruntime") as ended:
            worker.ask(time_boundaries)
        assert type(ended.value.__cause__) is BrokenProcessPool


def test_the_machine_is_told_in_plain_values() -> None:
    machine = machine_record()
    assert json.loads(json.dumps(machine)) == machine
    assert machine["cpu"]
    assert set(str(machine["cpu_flags"]).split()) <= TELLING_FLAGS
    assert load_average() >= 0
