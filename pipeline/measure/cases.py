"""List the measurements of one run: each file of its stages on each runtime that the file is made for."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from pipeline.params.deployment import ShapeParams
from pipeline.records.artifacts import Engines, Export, Quantization
from pipeline.records.files import read_record
from pipeline.runtime import TORCH_RUNNERS
from segdistill_runtime.images import Resizing
from segdistill_runtime.runner import InputShape
from segdistill_runtime.targets import TARGETS
from segdistill_runtime.targets.target import all_targets, load_target


class BenchmarkCase(NamedTuple):
    """One file on one runtime."""

    runtime: str
    precision: str
    path: Path
    shape: InputShape
    resize: str  # a key of RESIZE_MODES
    missing: str = ""  # why the file is missing; empty if it exists

    @property
    def resizing(self) -> Resizing:
        return Resizing(self.shape.height, self.shape.width, self.resize)


def find_cases(
    shape: InputShape, resize: str, other_shapes: Sequence[ShapeParams], runtimes: Sequence[str],
    *, checkpoint: Path, export: Path, quantize: Path, engine: Path,
    export_metrics: Path, quantize_metrics: Path, engine_metrics: Path,
) -> list[BenchmarkCase]:  # fmt: skip
    """Return all cases on the chosen runtimes, including files over their budget and engines that were not built.

    Args:
        shape: input shape of the released graphs.
        resize: how images of other sizes are resized to the graph's input.
        other_shapes: input shapes of further fp32 graphs.
        export, quantize, engine: folders of the files of these stages.
    """
    files = [(checkpoint, "fp32", shape, list(TORCH_RUNNERS))]
    for folder, record in (
        (export, read_record(Export, export_metrics, "export")),
        (quantize, read_record(Quantization, quantize_metrics, "quantize")),
    ):
        files += [(folder / a.file, a.precision, shape, _runtimes_of_graph(a.runtimes)) for a in record.artifacts]
    for other in other_shapes:
        other_shape = InputShape(other.batch, other.height, other.width)
        files.append((export / f"model_{other_shape}.onnx", "fp32", other_shape, _runtimes_of_graph(TARGETS)))
    cases = [
        BenchmarkCase(runtime, precision, path, its_shape, resize)
        for path, precision, its_shape, runtimes_of_file in files
        for runtime in runtimes_of_file
    ]
    for built in read_record(Engines, engine_metrics, "engine").engines:
        missing = "" if built.status == "built" else built.reason or "it was not built"
        path = engine / (built.file or built.backend)
        cases.append(BenchmarkCase(built.backend, built.precision, path, shape, resize, missing))
    # params.yaml has one name for both kinds of TensorRT.
    names = {name: load_target(name).decided_with for name in TARGETS}
    return [case for case in cases if names.get(case.runtime, case.runtime) in runtimes]


def _runtimes_of_graph(made_for: Iterable[str]) -> list[str]:
    """Return the runtimes, one for each kind of device, that run an ONNX file itself; engine builders do not."""
    return [t.name for runtime in made_for for t in all_targets() if t.suffix == ".onnx" and t.runs_files_of == runtime]
