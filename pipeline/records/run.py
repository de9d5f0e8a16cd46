"""Read all records of one run, from stage evaluate to stage benchmark."""

from dataclasses import dataclass
from pathlib import Path

from pipeline.records.artifacts import Artifact, Engines, Export, Quantization
from pipeline.records.benchmark import Benchmark
from pipeline.records.evaluation import Evaluation
from pipeline.records.files import damaged, read_record


@dataclass(frozen=True)
class RunRecords:
    evaluation: Evaluation
    export: Export
    quantization: Quantization
    engines: Engines
    benchmark: Benchmark

    @property
    def artifacts(self) -> list[Artifact]:
        """Return all ONNX files; a file that was compared on several runtimes appears once for each."""
        return [*self.export.artifacts, *self.quantization.artifacts]


def read_run(metrics: Path, name: str) -> RunRecords:
    """Read all records of a run; raise ArtifactError if a file is missing or not valid."""
    path = metrics / "export" / f"{name}.json"
    export = read_record(Export, path, "export")
    if not any(artifact.is_full for artifact in export.artifacts):
        raise damaged(path, "export", "no fp32 graph among its artifacts")
    return RunRecords(
        read_evaluation(metrics, name),
        export,
        read_record(Quantization, metrics / "quantize" / f"{name}.json", "quantize"),
        read_record(Engines, metrics / "engine" / f"{name}.json", "engine"),
        read_record(Benchmark, metrics / "benchmark" / f"{name}.json", "benchmark"),
    )


def read_evaluation(metrics: Path, name: str) -> Evaluation:
    """Read the evaluation of a run or of the teacher."""
    return read_record(Evaluation, metrics / "evaluate" / f"{name}.json", "evaluate")
