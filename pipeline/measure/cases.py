"""What there is to measure of one run: every file that its stages left, on every runtime that it is made for."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.params.deployment import ShapeParams
from pipeline.records.engine import Engines
from pipeline.records.export import Export
from pipeline.records.files import read_record
from pipeline.records.quantization import Quantization
from pipeline.runtime import TORCH_RUNNERS
from segdistill_runtime.runner import InputShape
from segdistill_runtime.targets import TARGETS
from segdistill_runtime.targets.target import all_targets, load_target


@dataclass(frozen=True, kw_only=True)
class BenchmarkCase:
    """One file on one runtime."""

    runtime: str
    precision: str
    path: Path
    shape: InputShape
    missing: str = ""  # why there is no such file; empty where there is


def find_cases(
    shape: InputShape, other_shapes: Sequence[ShapeParams], runtimes: Sequence[str],
    *, checkpoint: Path, export: Path, quantize: Path, engine: Path,
    export_metrics: Path, quantize_metrics: Path, engine_metrics: Path,
) -> list[BenchmarkCase]:  # fmt: skip
    """Return all cases on the chosen runtimes; what is over its budget too, and engines that were not built.

    Args:
        shape: of the graphs that ship.
        other_shapes: of further fp32 graphs.
        export, quantize, engine: folders that these stages left.

    Raises:
        ArtifactError: a stage's metrics are missing or damaged.
    """
    exported = read_record(Export, export_metrics, "export").artifacts
    quantized = read_record(Quantization, quantize_metrics, "quantize").artifacts
    graphs = [
        (folder / artifact.file, artifact.precision, shape, artifact.runtimes)
        for folder, artifacts in ((export, exported), (quantize, quantized))
        for artifact in artifacts
    ]
    for other in other_shapes:
        other_shape = InputShape(other.batch, other.height, other.width)
        graphs.append((export / f"model_{other_shape}.onnx", "fp32", other_shape, list(TARGETS)))
    cases = [
        BenchmarkCase(runtime=runtime, precision="fp32", path=checkpoint, shape=shape) for runtime in TORCH_RUNNERS
    ] + [
        BenchmarkCase(runtime=runtime, precision=precision, path=path, shape=its_shape)
        for path, precision, its_shape, made_for in graphs
        for runtime in _runtimes_of_graph(made_for)
    ]
    for built in read_record(Engines, engine_metrics, "engine").engines:
        missing = "" if built.status == "built" else built.reason or "it was not built"
        path = engine / (built.file or built.backend)
        cases.append(
            BenchmarkCase(runtime=built.backend, precision=built.precision, path=path, shape=shape, missing=missing)
        )
    return [case for case in cases if _asked_for(case.runtime) in runtimes]


def _asked_for(runtime: str) -> str:
    """Name a runtime as params.yaml does, where both kinds of TensorRT are one."""
    return load_target(runtime).decided_with if runtime in TARGETS else runtime


def _runtimes_of_graph(made_for: Iterable[str]) -> list[str]:
    """Name who runs an ONNX file itself: not those that build an engine from it, but each kind of device."""
    return [t.name for runtime in made_for for t in all_targets() if t.suffix == ".onnx" and t.runs_files_of == runtime]
