"""Read and check everything the report is made from, before anything is drawn or written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.data.classes import ClassTable
from pipeline.data.samples import Sample, read_samples
from pipeline.inspection.records import TEACHER, InspectedSample, read_inspected
from pipeline.params.runs import RunParams
from pipeline.records.artifacts import Artifact, Engines, Export, Quantization
from pipeline.records.benchmark import IMAGE_TO_LABELS, Benchmark
from pipeline.records.curation import Statistics
from pipeline.records.evaluation import Evaluation
from pipeline.records.files import damaged, read_bytes, read_record
from pipeline.records.release import Decision, Manifest, Numerics
from pipeline.records.run import read_evaluation, read_run
from pipeline.reporting.pictures import Predictions
from pipeline.reporting.tables import Curve, read_confusion, read_curve, read_image_scores

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True, kw_only=True)
class Folders:
    """Where the other stages left their files."""

    prepared: Path
    curated: Path
    teacher: Path
    students: Path
    evaluation: Path
    release: Path
    inspection: Path
    metrics: Path


@dataclass(frozen=True, kw_only=True)
class Network:
    """A trained network and its results on the evaluation split."""

    evaluation: Evaluation
    curve: Curve
    predictions: Predictions
    confusion: np.ndarray  # (k, k) pixel counts, rows are labels
    confusion_picture: bytes  # PNG


@dataclass(frozen=True, kw_only=True)
class Run(Network):
    """One student, from training to release."""

    name: str
    params: RunParams
    export: Export
    quantization: Quantization
    engines: Engines
    benchmark: Benchmark
    decisions: list[Decision]
    release: Manifest
    signed: bool

    @property
    def is_baseline(self) -> bool:
        return not self.params.has_teacher

    @property
    def artifacts(self) -> list[Artifact]:
        """All ONNX files; one whose labels were compared on several runtimes appears once for each."""
        return [*self.export.artifacts, *self.quantization.artifacts]

    @property
    def of_runtime(self) -> dict[tuple[str, str], Artifact]:
        """The same by file and runtime."""
        return {(artifact.file, runtime): artifact for artifact in self.artifacts for runtime in artifact.runtimes}

    @property
    def shape(self) -> tuple[int, int, int]:
        """Batch, height and width of the released graphs."""
        height, width = self.evaluation.input
        return 1, height, width

    @property
    def shipping(self) -> list[Decision]:
        """The released files, fastest first; none if the run was rejected."""
        if self.release.status == "rejected":
            return []
        return sorted((d for d in self.decisions if d.verdict == "ships"), key=lambda d: d.p50_ms or 0.0)

    def is_noisy(self, decision: Decision) -> bool:
        """Whether the latency that a decision rests on varied too much."""
        return any(
            entry.noisy and entry.p50_ms == decision.p50_ms and entry.boundary == IMAGE_TO_LABELS
            for entry in self.benchmark.measurements
            if (entry.precision, entry.shape) == (decision.precision, self.shape)
        )


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """All inputs of the report; runs in the order of params.yaml."""

    classes: ClassTable
    samples: dict[str, Sample]  # of the evaluation split, by id
    statistics: Statistics
    teacher: Network
    runs: dict[str, Run]
    inspected: list[InspectedSample]  # all samples, rejected ones too

    @property
    def rejected(self) -> list[InspectedSample]:
        """Samples that curation excluded; the first rule of each is the reason."""
        return [sample for sample in self.inspected if sample.decision == "drop"]

    @property
    def distilled(self) -> list[Run]:
        return [run for run in self.runs.values() if not run.is_baseline]

    @property
    def families(self) -> dict[str, list[Run]]:
        """A baseline's name -> the baseline and all runs compared with it."""
        baselines = [run for run in self.runs.values() if run.is_baseline]
        return {b.name: [b, *(run for run in self.distilled if run.params.baseline == b.name)] for b in baselines}


def load(runs: Mapping[str, RunParams], split: str, folders: Folders) -> Inputs:
    """Read every input.

    Raises:
        ArtifactError: a file is missing, damaged, or made for other classes or another split.
        DatasetError: the same for the class table and the sample list.
    """
    classes = ClassTable.load(folders.prepared / "classes.json")
    statistics = read_record(Statistics, folders.curated / "statistics.json", "curate")
    if statistics.classes != classes.names:
        raise damaged(folders.curated / "statistics.json", "curate", "made for another class table")
    path = folders.inspection / "samples.jsonl"
    inspected = read_inspected(path)
    if unknown := {name for sample in inspected for name in sample.networks} - {TEACHER, *runs}:
        raise damaged(path, "inspect", f"contains {', '.join(sorted(unknown))}, which params.yaml does not name")
    return Inputs(
        classes=classes,
        samples={sample.id: sample for sample in read_samples(folders.curated / "samples.csv", split)},
        statistics=statistics,
        teacher=_load_network(TEACHER, "teacher", folders.teacher, split, classes.names, folders),
        runs={name: _load_run(name, run, split, classes.names, folders) for name, run in runs.items()},
        inspected=inspected,
    )


def _load_run(name: str, params: RunParams, split: str, names: Sequence[str], folders: Folders) -> Run:
    records = read_run(folders.metrics, name)
    bundle = folders.release / name
    run = Run(
        **vars(_load_network(name, "student", folders.students / name, split, names, folders)),
        name=name,
        params=params,
        export=records.export,
        quantization=records.quantization,
        engines=records.engines,
        benchmark=records.benchmark,
        decisions=read_record(Numerics, bundle / "numerics.yaml", "release").decisions,
        release=read_record(Manifest, bundle / "manifest.json", "release"),
        signed=(bundle / "manifest.json.sig").is_file(),
    )
    if unknown := {(decision.file, decision.runtime) for decision in run.decisions} - set(run.of_runtime):
        named = ", ".join(f"{file} with {runtime}" for file, runtime in sorted(unknown))
        complaint = f"it decides about {named}, which stages export and quantize do not list"
        raise damaged(bundle / "numerics.yaml", "release", complaint)
    return run


def _load_network(name: str, stage: str, trained: Path, split: str, names: Sequence[str], folders: Folders) -> Network:
    evaluation = read_evaluation(folders.metrics, name)
    metrics, folder = folders.metrics / "evaluate" / f"{name}.json", folders.evaluation / name
    if list(evaluation.iou_per_class) != list(names):
        raise damaged(metrics, "evaluate", "made for another class table")
    if evaluation.split != split:
        raise damaged(metrics, "evaluate", f"made on split {evaluation.split}, the report is about {split}")
    picture = read_bytes(folder / "confusion.png", "evaluate")
    if not picture.startswith(PNG_SIGNATURE):
        raise damaged(folder / "confusion.png", "evaluate", "not a PNG file")
    scores = read_image_scores(folder / "per_image.csv", "evaluate")
    return Network(
        evaluation=evaluation,
        curve=read_curve(trained / "training.csv", stage),
        predictions=Predictions(folder / "predictions", scores),
        confusion=read_confusion(folder / "confusion.csv", "evaluate", names),
        confusion_picture=picture,
    )
