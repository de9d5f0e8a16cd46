"""What the stages from export to release leave of a made-up run; what is released is decided by the real code.

Among the four runs there are: files that are accepted, too slow, over budget or untimed; a run that a gate rejects;
noisy times and runtimes that are not there; layers that were judged and kept; an engine that ran.
"""

from dataclasses import asdict, replace

from pipeline.deploy.bundle_records import numerics
from pipeline.deploy.decisions import decide, failed_gates
from pipeline.params.deployment import ReleaseParams, SpeedupParams
from pipeline.records.artifacts import (
    Activations,
    Artifact,
    Calibration,
    Engine,
    Engines,
    Export,
    FineTuning,
    LayerChoice,
    LayerLoss,
    Parity,
    Quantization,
)
from pipeline.records.benchmark import Benchmark, Measurement, Postprocessing, Protocol
from pipeline.records.files import write_record, write_yaml
from pipeline.records.release import Manifest, ReleasedFile
from pipeline.records.run import read_run
from pipeline.reporting.inputs import Folders

LATENCY_MS = {"pspnet_r18": 11.2, "pspnet_r18_gdd": 11.4, "deeplabv3_r18": 17.9, "deeplabv3_r18_gdd": 18.1}
"""fp32 on ONNX Runtime, image to labels."""
NO_GPU = "no GPU on this machine: built ahead of time, not executed"
NO_TENSORRT = "package tensorrt is not installed here"
NO_OPENVINO = "the package openvino is not installed"
REJECTED = "deeplabv3_r18"
OVER_BUDGET = "deeplabv3_r18_gdd"
JUDGED = "pspnet_r18_gdd"
"""Runs that a gate rejects, whose int8 is over its budget, whose layers were judged."""

NOISY = (("pytorch_eager", "fp32", REJECTED), ("openvino", "int8", "pspnet_r18"))
SIZE = (96, 144)
OWN = (1, *SIZE)
FILES = {
    "model.onnx": ("fp32", ["onnxruntime", "tensorrt"], 49_700_000),
    "model_fp16.onnx": ("fp16", ["onnxruntime", "tensorrt"], 24_900_000),
    "model_int8.onnx": ("int8", ["onnxruntime"], 12_600_000),
    "model_int8_tensorrt.onnx": ("int8", ["tensorrt"], 13_100_000),
}
LOST_POINTS = {"fp32": 0.001, "fp16": 0.012, "int8": 0.14}
TIMES_FP32 = {
    ("pytorch_eager", "fp32"): 1.9, ("onnxruntime", "fp32"): 1.0, ("onnxruntime", "fp16"): 1.04,
    ("onnxruntime", "int8"): 0.29, ("openvino", "fp32"): 0.97, ("openvino", "int8"): 0.27,
}  # fmt: skip
"""Latency of each runtime and precision, of that of fp32 on ONNX Runtime."""
BOUNDARIES = {"device_compute": 0.97, "with_copies": 0.98, "image_to_labels": 1.0, "file_to_labels": 1.12}


def write_deployed(folders: Folders, name: str, miou: float) -> None:
    """Everything from export to release."""
    full, half, cpu, trt = [_artifact(file, name, miou) for file in FILES]
    activations = Activations(images=8, magnitude=41.7, layer="node_conv2d_19", finite=True, limit_of_fp16=16376.0)
    records = {
        "export": Export(
            run=name, opset=20, ir_version=9, nodes=71, operators=["Conv"], max_logit_difference=3.1e-5,
            activations=activations, artifacts=[full, half, _on_openvino(full)],
        ),
        "quantize": _quantization(name, miou, [cpu, trt, _on_openvino(cpu)]),
        "engine": Engines(run=name, engines=_engines(name, miou)),
        "benchmark": _benchmark(name),
    }  # fmt: skip
    for stage, record in records.items():
        write_record(folders.metrics / stage / f"{name}.json", record)
    write_release(folders, name)


def write_release(folders: Folders, name: str) -> None:
    """Decide from the metrics that are there."""
    records = read_run(folders.metrics, name)
    decisions = decide(
        records.artifacts, records.engines.engines, records.benchmark.measurements, SIZE, {"fp16": 1.05, "int8": 1.2}
    )
    limits = ReleaseParams(
        runtimes=["onnxruntime", "openvino", "tensorrt"], files="all", servers=True,
        min_speedup=SpeedupParams(fp16=1.05, int8=1.2), min_miou=0.0, max_miou_lost_points=None,
        max_p90_ms=4.0 if name == REJECTED else None, max_mebibytes=None,
    )  # fmt: skip
    reasons = failed_gates(decisions, records.artifacts, "", limits)
    bundle = folders.release / name
    samples = folders.curated / "samples.csv"
    write_yaml(bundle / "numerics.yaml", asdict(numerics(records, decisions, reasons, samples, [])))
    files = [] if reasons else [ReleasedFile(path="model.onnx", bytes=49_700_000, sha256="ab" * 32)]
    status = "rejected" if reasons else "released"
    manifest = Manifest(format="segdistill-bundle-1", run=name, status=status, reasons=reasons, tools={}, files=files)
    write_record(bundle / "manifest.json", manifest)
    if name == JUDGED:
        (bundle / "manifest.json.sig").write_bytes(bytes(64))


def _parity(precision: str, miou: float, lost: float) -> Parity:
    equal = {"fp32": 0.99998, "fp16": 0.9991, "int8": 0.9872}[precision]
    return Parity(
        runtime="onnxruntime", images=6, pixel_agreement=equal, boundary_agreement=1 - 9 * (1 - equal),
        worst_image="0001TP_00004", worst_agreement=1 - 2 * (1 - equal), reference_miou=miou, miou=miou - lost / 100,
        miou_lost_points=lost, worst_class="pole", worst_class_lost_points=4 * lost,
    )  # fmt: skip


def _on_openvino(judged: Artifact) -> Artifact:
    """The record of the same file by the labels that OpenVINO gives."""
    parity = replace(judged.parity, runtime="openvino", pixel_agreement=judged.parity.pixel_agreement - 1e-5)
    return replace(judged, runtimes=["openvino"], parity=parity)


def _artifact(file: str, name: str, miou: float) -> Artifact:
    precision, runtimes, size = FILES[file]
    over = name == OVER_BUDGET and precision == "int8"
    lost = 1.271 if over else LOST_POINTS[precision]
    reason = (
        f"{lost:.3f} points of mIoU lost, allowed are 0.3; first diverges at layer node_conv2d_3 (relative error of "
        f"its output 0.412)"
    )
    return Artifact(
        file=file, precision=precision, runtimes=runtimes, bytes=size, sha256="ab" * 32,  # type: ignore[arg-type]
        status="rejected" if over else "accepted", reason=reason if over else "", parity=_parity(precision, miou, lost),
    )  # fmt: skip


def _quantization(name: str, miou: float, artifacts: list[Artifact]) -> Quantization:
    judged = [(f"node_conv2d_{place}", 0.21 * 0.6**place - 0.004) for place in range(20)]
    layers = [LayerLoss(name=layer, lost_points=lost) for layer, lost in judged] if name == JUDGED else []
    kept = [layer.name for layer in layers[:2]]
    choice = LayerChoice(float_layers=kept, within_budget=True, parity=_parity("int8", miou, LOST_POINTS["int8"]))
    return Quantization(
        run=name, calibration=Calibration(images=32, clip_percentile=100.0, sha256="cd" * 32), judged_on="val",
        layers=layers, choices={"cpu": choice, "tensorrt": choice}, fine_tuned=name == OVER_BUDGET,
        fine_tuning=FineTuning(iterations=20, learning_rate=1e-4) if name == OVER_BUDGET else None,
        artifacts=artifacts,
    )  # fmt: skip


def _engines(name: str, miou: float) -> list[Engine]:
    """Built for two of three precisions; one run's fp32 engine was executed."""
    engines = []
    for precision in ("fp32", "fp16", "int8"):
        for backend in ("tensorrt_rtx", "tensorrt"):
            built = backend == "tensorrt_rtx"
            ran = built and (name, precision) == (JUDGED, "fp32")
            engine = Engine(
                precision=precision, backend=backend, version="1.7.0.52", sha256="",  # type: ignore[arg-type]
                source_file="model.onnx", source_sha256="ab" * 32,
                compute_capabilities=["SM86", "SM89", "SM120"] if built else [],
                file=f"{precision}.engine" if built else "", bytes=51_000_000 if built else 0,
                status="built" if built else "not built", executed=ran, accepted=True if ran else None,
                reason="" if ran else NO_GPU if built else NO_TENSORRT,
                parity=_parity("fp16", miou, 0.004) if ran else None,
            )  # fmt: skip
            engines.append(engine)
    return engines


def _measurements(name: str) -> list[Measurement]:
    files = {precision: file for file, (precision, runtimes, _) in FILES.items() if "onnxruntime" in runtimes}
    found = []
    for (runtime, precision), factor in TIMES_FP32.items():
        file = "checkpoint.safetensors" if runtime == "pytorch_eager" else files[precision]
        if runtime == "openvino" and name == OVER_BUDGET:
            found.append(_not_run(runtime, precision, file, NO_OPENVINO))
            continue
        for boundary, wider in BOUNDARIES.items():
            noisy = (runtime, precision, name) in NOISY
            ms = LATENCY_MS[name] * factor * wider
            found.append(_measured(runtime, precision, file, OWN, boundary, ms, noisy))
    if name == JUDGED:
        four, ms = (4, *SIZE), 4 * LATENCY_MS[name]
        found.append(_measured("onnxruntime", "fp32", "model_4x96x144.onnx", four, "image_to_labels", ms, False))
    for backend in ("tensorrt_rtx", "tensorrt"):
        found += [_not_run(backend, precision, "", "no GPU on this machine") for precision in ("fp32", "fp16", "int8")]
    return found


def _measured(
    runtime: str, precision: str, file: str, shape: tuple[int, int, int], boundary: str, ms: float, noisy: bool
) -> Measurement:
    batch, height, width = shape
    provider = {"onnxruntime": "CPUExecutionProvider", "openvino": "CPU", "pytorch_eager": "cpu"}[runtime]
    return Measurement(
        runtime=runtime, precision=precision, file=file, batch=batch, height=height, width=width, provider=provider,
        threads=2, boundary=boundary, status="measured", reason="", calls=260, p50_ms=ms, p90_ms=1.12 * ms, p99_ms=None,
        mean_ms=1.02 * ms, min_ms=0.96 * ms, coefficient_of_variation=0.41 if noisy else 0.08, noisy=noisy,
        throughput_images_per_s=1000 * batch / ms, p50_ms_of_rounds=[ms], peak_memory_mb=412.5,
    )  # fmt: skip


def _not_run(runtime: str, precision: str, file: str, reason: str) -> Measurement:
    batch, height, width = OWN
    return Measurement(
        runtime=runtime, precision=precision, file=file, batch=batch, height=height, width=width, provider="",
        threads=2, boundary="image_to_labels", status="not run", reason=reason,
    )  # fmt: skip


def _benchmark(name: str) -> Benchmark:
    protocol = Protocol(
        warmup_calls=50, warmup_s=0.5, calls=260, min_s=1.0, max_s=8.0, rounds=3, noisy_above=0.25, threads=2,
        split="test", images=6,
    )  # fmt: skip
    machine = {
        "cpu": "Made-up CPU", "cpu_flags": "avx512_vnni", "turbo": True, "cores": 2, "memory_gb": 8.0, "gpu": None,
        "os": "Linux", "python": "3.11.7", "torch": "2.13.0", "onnxruntime": "1.23.0",
        "load_average_before": LATENCY_MS[name] / 100,
    }  # fmt: skip
    postprocessing = Postprocessing(
        precision="fp32", file="model.onnx", ms=0.3, network_ms=10.7, share_of_network=0.028,
        operators=["Resize", "ArgMax"],
    )  # fmt: skip
    return Benchmark(
        run=name, protocol=protocol, machine=machine, postprocessing=[postprocessing], measurements=_measurements(name)
    )
