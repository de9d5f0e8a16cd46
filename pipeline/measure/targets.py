"""What there is to measure of one run: every file that its stages left, on every runtime that it is made for."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import SegdistillError
from pipeline.params.deployment import ShapeParams
from pipeline.runtime import InputShape

ON_ONNX_RUNTIME = ("onnxruntime", "onnxruntime_cuda")
FROM_CHECKPOINT = ("pytorch_eager", "pytorch_compiled")


class TargetError(SegdistillError):
    """Metrics of a stage that do not say what it wrote."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """One file on one runtime."""

    runtime: str
    precision: str
    path: Path
    shape: InputShape
    missing: str = ""  # why there is no such file; empty where there is

    def record(self) -> dict[str, object]:
        file = "" if self.missing else self.path.name
        return {"runtime": self.runtime, "precision": self.precision, "file": file, **self.shape._asdict()}


@dataclass(frozen=True, kw_only=True)
class RunFiles:
    """Where the stages of one run left its files, and what they say about them."""

    checkpoint: Path
    export: Path  # folders
    quantize: Path
    engine: Path
    export_metrics: Path  # JSON
    quantize_metrics: Path
    engine_metrics: Path


def find_targets(
    files: RunFiles, shape: InputShape, other_shapes: Sequence[ShapeParams], runtimes: Sequence[str]
) -> list[Target]:
    """All targets on the chosen runtimes; what is over its budget too, and engines that were not built.

    Args:
        shape: of the graphs that ship.
        other_shapes: of further fp32 graphs.

    Raises:
        TargetError: a stage's metrics are missing or do not list its files.
    """
    found = [
        Target(runtime=runtime, precision="fp32", path=files.checkpoint, shape=shape) for runtime in FROM_CHECKPOINT
    ]
    for folder, metrics in ((files.export, files.export_metrics), (files.quantize, files.quantize_metrics)):
        for artifact in _records(metrics, "artifacts", ("file", "precision", "runtimes")):
            path = folder / artifact["file"]
            for runtime in _runners_of_onnx(artifact["runtimes"]):
                found.append(Target(runtime=runtime, precision=artifact["precision"], path=path, shape=shape))
    for other in other_shapes:
        other_shape = InputShape(other.batch, other.height, other.width)
        path = files.export / f"model_{other_shape}.onnx"
        for runtime in _runners_of_onnx(("onnxruntime", "openvino")):
            found.append(Target(runtime=runtime, precision="fp32", path=path, shape=other_shape))
    for engine in _records(files.engine_metrics, "engines", ("file", "precision", "backend", "status", "reason")):
        missing = "" if engine["status"] == "built" else engine["reason"] or "it was not built"
        path = files.engine / (engine["file"] or engine["backend"])
        target = Target(
            runtime=engine["backend"], precision=engine["precision"], path=path, shape=shape, missing=missing
        )
        found.append(target)
    return [target for target in found if target.runtime.removesuffix("_rtx") in runtimes]


def _runners_of_onnx(meant_for: Iterable[str]) -> list[str]:
    """An ONNX file for TensorRT runs as an engine, and one for ONNX Runtime on both of its devices."""
    runners = []
    for runtime in meant_for:
        runners.extend(ON_ONNX_RUNTIME if runtime == "onnxruntime" else [runtime] if runtime == "openvino" else [])
    return runners


def _records(metrics: Path, key: str, fields: tuple[str, ...]) -> list[dict]:
    try:
        records = json.loads(metrics.read_text(encoding="utf-8"))[key]
        return [{field: record[field] for field in fields} for record in records]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise TargetError(f"{metrics} does not list its {key} ({error!r}); run the stage again: dvc repro") from error
