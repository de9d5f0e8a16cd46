"""Everything that the stages from evaluate to benchmark record about one run."""

from dataclasses import dataclass
from pathlib import Path

from pipeline.records.benchmark import Benchmark
from pipeline.records.engine import Engines
from pipeline.records.evaluation import Evaluation
from pipeline.records.export import Artifact, Export
from pipeline.records.files import damaged, read_record
from pipeline.records.quantization import Quantization


@dataclass(frozen=True, kw_only=True)
class RunRecords:
    evaluation: Evaluation
    export: Export
    quantization: Quantization
    engines: Engines
    benchmark: Benchmark

    @property
    def artifacts(self) -> list[Artifact]:
        """All ONNX files; one whose labels were compared on several runtimes appears once for each."""
        return [*self.export.artifacts, *self.quantization.artifacts]


def read_run(metrics: Path, name: str) -> RunRecords:
    """Read all records of a run.

    Args:
        metrics: the folder that holds evaluate/, export/, quantize/, engine/ and benchmark/.

    Raises:
        ArtifactError: a file is missing or is not what its stage writes.
    """
    export = read_record(Export, metrics / "export" / f"{name}.json", "export")
    if not any(artifact.is_full for artifact in export.artifacts):
        raise damaged(metrics / "export" / f"{name}.json", "export", "no fp32 graph among its artifacts")
    return RunRecords(
        evaluation=read_evaluation(metrics, name),
        export=export,
        quantization=read_record(Quantization, metrics / "quantize" / f"{name}.json", "quantize"),
        engines=read_record(Engines, metrics / "engine" / f"{name}.json", "engine"),
        benchmark=read_record(Benchmark, metrics / "benchmark" / f"{name}.json", "benchmark"),
    )


def read_evaluation(metrics: Path, name: str) -> Evaluation:
    """Read the evaluation of a run or of the teacher.

    Raises:
        ArtifactError: the file is missing or is not what the stage writes.
    """
    return read_record(Evaluation, metrics / "evaluate" / f"{name}.json", "evaluate")
