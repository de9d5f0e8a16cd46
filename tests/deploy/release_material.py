"""One run's files and measurements as the stages before the release leave them, with real graphs of a few kilobytes."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
from PIL import Image

from pipeline.code_digest import ROOT
from pipeline.data.classes import ClassTable, LabelClass
from pipeline.data.files import sha256, write_json
from pipeline.data.samples import Sample, write_samples
from pipeline.deploy.bundle_records import manifest
from pipeline.deploy.release import Folders, package_release
from pipeline.deploy.signing import sign
from pipeline.params.deployment import ReleaseParams, SpeedupParams
from pipeline.params.runs import RunParams
from pipeline.params.tree import load_params
from pipeline.records.artifacts import (
    Activations,
    Artifact,
    Calibration,
    Engines,
    Export,
    LayerChoice,
    Parity,
    Quantization,
)
from pipeline.records.benchmark import Benchmark, Measurement, Protocol
from pipeline.records.evaluation import Evaluation
from pipeline.records.files import write_record
from segdistill_runtime.images import Resizing
from tests.deploy.tiny_graphs import HEIGHT, WIDTH, _Images, tiny_image, write_tiny_graphs

SOURCE = ROOT / "segdistill_runtime"
RUN, BASELINE = "pspnet_r18_gdd", "pspnet_r18"
SIZE = (HEIGHT, WIDTH)
CLASSES = ClassTable(
    "toy", tuple(LabelClass(name, (60 * i, 90, 200 - 60 * i), (i,)) for i, name in enumerate("abcd")), (255,)
)
FILES = {
    "model.onnx": ("fp32", ["onnxruntime", "tensorrt"]),
    "model_fp16.onnx": ("fp16", ["onnxruntime", "tensorrt"]),
    "model_int8.onnx": ("int8", ["onnxruntime"]),
    "model_int8_tensorrt.onnx": ("int8", ["tensorrt"]),
}
ON_OPENVINO = ("model.onnx", "model_int8.onnx")
"""Files that were judged by OpenVINO's labels too."""

NO_LIMITS = ReleaseParams(
    runtimes=["onnxruntime", "openvino", "tensorrt"],
    files="all",
    servers=True,
    min_speedup=SpeedupParams(fp16=1.05, int8=1.2),
    min_miou=0.0,
    max_miou_lost_points=None,
    max_p90_ms=None,
    max_mebibytes=None,
)


def parity(lost_points: float = 0.0) -> Parity:
    return Parity(
        runtime="onnxruntime", images=2, pixel_agreement=0.99, boundary_agreement=0.95, worst_image="toy_0",
        worst_agreement=0.98, reference_miou=0.5, miou=0.5 - lost_points / 100, miou_lost_points=lost_points,
        worst_class="a", worst_class_lost_points=0.2,
    )  # fmt: skip


def artifact(
    file: str, lost_points: float = 0.0, reason: str = "", size: int = 1000, digest: str = "0" * 64
) -> Artifact:
    """A file of FILES; rejected if there is a reason."""
    precision, runtimes = FILES[file]
    return Artifact(
        file=file, precision=precision, runtimes=runtimes, bytes=size, sha256=digest,  # type: ignore[arg-type]
        status="rejected" if reason else "accepted", reason=reason, parity=parity(lost_points),
    )  # fmt: skip


def on_openvino(judged: Artifact) -> Artifact:
    """The record of the same file by the labels that OpenVINO gives."""
    return replace(judged, runtimes=["openvino"], parity=replace(judged.parity, runtime="openvino"))


def measured(runtime: str, file: str, p50_ms: float, **changes: Any) -> Measurement:
    known = Measurement(
        runtime=runtime, precision=FILES[file][0], file=file, batch=1, height=HEIGHT, width=WIDTH,
        provider="cpu", threads=1, boundary="image_to_labels", status="measured", reason="", calls=100,
        p50_ms=p50_ms, p90_ms=1.1 * p50_ms, p99_ms=None, coefficient_of_variation=0.05, noisy=False,
    )  # fmt: skip
    return replace(known, **changes)


TIMES = (
    measured("onnxruntime", "model.onnx", 10.0),
    measured("onnxruntime", "model_fp16.onnx", 11.0),
    measured("onnxruntime", "model_int8.onnx", 4.0),
    measured("openvino", "model.onnx", 9.0),
    measured("openvino", "model_int8.onnx", 8.0),
)


class Material(NamedTuple):
    """A folder as a profile's, with everything that stage release reads."""

    root: Path

    def folders(self) -> Folders:
        return Folders(
            export=self.root / "artifacts/export" / RUN,
            quantize=self.root / "artifacts/quantize" / RUN,
            engines=self.root / "artifacts/engine" / RUN,
            metrics=self.root / "reports/metrics",
            out=self.root / "artifacts/release" / RUN,
            reports=self.root / "reports/releases" / RUN,
        )

    def metrics(self, stage: str, run: str = RUN) -> Path:
        return self.root / "reports/metrics" / stage / f"{run}.json"

    def change(self, stage: str, **values: object) -> None:
        """Overwrite keys of a stage's metrics."""
        write_json(self.metrics(stage), {**json.loads(self.metrics(stage).read_text()), **values})

    def release(
        self, limits: ReleaseParams = NO_LIMITS, key: Path | None = None, resize: str = "stretch",
        run: RunParams | None = None,
    ) -> Path:  # fmt: skip
        """The bundle of the run, as if it had been trained with other parameters."""
        params = load_params(ROOT / "params.yaml")
        package_release(
            RUN, run or params.run(RUN), Resizing(*SIZE, resize), "test", params.parity, limits,
            self.root / "classes.json", self.root / "samples.csv", self.root / "dvc.lock", self.folders(), key,
        )  # fmt: skip
        return self.folders().out


def write_material(root: Path) -> Material:
    """Write graphs, samples, a lock file and the metrics of every stage."""
    material = Material(root)
    folders = material.folders()
    graphs = write_tiny_graphs(folders.export)
    folders.quantize.mkdir(parents=True)
    quantize_static(
        graphs["fp32"], folders.quantize / "model_int8.onnx", _Images(), quant_format=QuantFormat.QDQ,
        per_channel=True, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
    )  # fmt: skip
    shutil.move(graphs["int8"], folders.quantize / graphs["int8"].name)
    (folders.quantize / "calibration.csv").write_text("id,image_sha256\n")
    _write_samples(root)
    stages = {
        stage: {"cmd": "x", "outs": [{"path": f"artifacts/{stage}", "md5": "0" * 32}]}
        for stage in ("prepare", "curate", "teacher")
    }
    stages[f"student-{RUN}"] = {
        "cmd": "x",
        "deps": [{"path": "artifacts/teacher", "md5": "0" * 32}],
        "params": {"artifacts/resolved.json": {f"student-{RUN}": {"code": "c0de", "training": {"splits": ["train"]}}}},
        "outs": [{"path": f"artifacts/students/{RUN}", "md5": "1" * 32}],
    }
    write_json(root / "dvc.lock", {"schema": "2.0", "stages": stages})  # JSON is YAML as well
    _write_metrics(material)
    return material


def _write_samples(root: Path) -> None:
    samples = []
    for index, split in enumerate(("train", "test", "test")):
        path = root / f"image_{index}.png"
        Image.fromarray(tiny_image(index)[0]).save(path)
        samples.append(Sample(f"toy_{index}", split, "s", path, path, sha256(path), sha256(path)))
    write_samples(root / "samples.csv", samples)
    CLASSES.save(root / "classes.json")


def _write_metrics(material: Material) -> None:
    folders = material.folders()
    for run in (RUN, BASELINE, "teacher"):
        write_record(material.metrics("evaluate", run), evaluation(run))

    def records(folder: Path, *files: str) -> list[Artifact]:
        judged = [artifact(f, size=(folder / f).stat().st_size, digest=sha256(folder / f)) for f in files]
        return [*judged, *(on_openvino(each) for each in judged if each.file in ON_OPENVINO)]

    activations = Activations(images=2, magnitude=4.0, layer="first", finite=True, limit_of_fp16=16376.0)
    exported = records(folders.export, "model.onnx", "model_fp16.onnx")
    write_record(
        material.metrics("export"),
        Export(
            run=RUN, opset=20, ir_version=9, nodes=9, operators=["Conv"], max_logit_difference=1e-6,
            activations=activations, artifacts=exported,
        ),
    )  # fmt: skip
    listed = sha256(folders.quantize / "calibration.csv")
    choice = LayerChoice(float_layers=["first"], within_budget=True, parity=parity())
    write_record(
        material.metrics("quantize"),
        Quantization(
            run=RUN, calibration=Calibration(images=4, clip_percentile=100.0, sha256=listed), judged_on="val",
            layers=[], choices={"cpu": choice}, fine_tuned=False, fine_tuning=None,
            artifacts=records(folders.quantize, "model_int8.onnx", "model_int8_tensorrt.onnx"),
        ),
    )  # fmt: skip
    write_record(material.metrics("engine"), Engines(run=RUN, engines=[]))
    protocol = Protocol(
        warmup_calls=1, warmup_s=0.0, calls=100, min_s=0.0, max_s=1.0, rounds=1, noisy_above=0.25, threads=1,
        split="test", images=2,
    )  # fmt: skip
    benchmark = Benchmark(
        run=RUN, protocol=protocol, machine={"cpu": "a processor"}, postprocessing=[], measurements=list(TIMES)
    )
    write_record(material.metrics("benchmark"), benchmark)


def evaluation(run: str) -> Evaluation:
    return Evaluation(
        name=run, architecture="pspnet", backbone="tiny", backbone_weights="none", precision="fp32", method="gdd",
        weights={}, seed=0, split="test", images=2, miou=0.5, pixel_accuracy=0.8, iou_per_class={"a": 0.5, "b": None},
        predicted_absent={"b": 7}, parameters=1000, gmacs=0.1, input=list(SIZE),
    )  # fmt: skip


def write_manifest(bundle: Path, key: Path | None = None) -> None:
    """List the files of a bundle anew, as somebody who forges one would; signed if there is a key."""
    (bundle / "manifest.json.sig").unlink(missing_ok=True)
    write_record(bundle / "manifest.json", manifest(RUN, [], bundle))
    if key is not None:
        (bundle / "manifest.json.sig").write_bytes(sign((bundle / "manifest.json").read_bytes(), key))


def run_script(bundle: Path, script: str, *arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """A script of the bundle in a Python that sees no project and an environment that holds nothing."""
    command = [sys.executable, "-I", str(bundle / script), *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False)


def picture(path: Path) -> np.ndarray:
    with Image.open(path) as file:
        return np.array(file)
