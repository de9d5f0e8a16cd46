"""Everything the report is made from, read and checked before a line of it is written."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.data.classes import ClassTable
from pipeline.data.samples import Sample, read_samples
from pipeline.inspection.records import InspectedSample, read_inspected
from pipeline.params.runs import RunParams
from pipeline.reporting.deployed import (
    IMAGE_TO_LABELS,
    Artifact,
    Decision,
    Decisions,
    Engines,
    Export,
    Profile,
    Quantization,
    Release,
)
from pipeline.reporting.reading import corrupt, read_bytes, read_record, read_yaml_record
from pipeline.reporting.records import Evaluation, Statistics
from pipeline.reporting.tables import Curve, read_confusion, read_curve, read_image_scores

TEACHER = "teacher"
PNG_MARK = b"\x89PNG\r\n\x1a\n"


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
class Judged:
    """A trained network and how it did on the evaluation split."""

    evaluation: Evaluation
    curve: Curve
    image_scores: dict[str, float | None]  # sample id -> mIoU, 0..1
    confusion: np.ndarray  # (k, k) pixel counts, rows are labels
    confusion_picture: bytes  # PNG
    predictions: Path  # folder of one mask for each sample id


@dataclass(frozen=True, kw_only=True)
class Run:
    """One student, from training to release."""

    name: str
    params: RunParams
    judged: Judged
    export: Export
    quantization: Quantization
    engines: Engines
    profile: Profile
    decisions: list[Decision]
    release: Release
    signed: bool

    @property
    def is_baseline(self) -> bool:
        return not self.params.has_teacher

    @property
    def artifacts(self) -> list[Artifact]:
        """All its ONNX files; one that runtimes were asked about apart is there for each of them."""
        return [*self.export.artifacts, *self.quantization.artifacts]

    @property
    def of_runtime(self) -> dict[tuple[str, str], Artifact]:
        """The same by file and runtime."""
        return {(artifact.file, runtime): artifact for artifact in self.artifacts for runtime in artifact.runtimes}

    @property
    def shape(self) -> tuple[int, int, int]:
        """Batch, height and width of the graphs that ship."""
        height, width = self.judged.evaluation.input
        return 1, height, width

    @property
    def shipping(self) -> list[Decision]:
        """What a receiver gets, fastest first; nothing of a run that was rejected."""
        if self.release.status == "rejected":
            return []
        return sorted((d for d in self.decisions if d.verdict == "ships"), key=lambda d: d.p50_ms or 0.0)

    def is_noisy(self, decision: Decision) -> bool:
        """Whether the time that a decision rests on varied too much."""
        return any(
            entry.noisy and entry.p50_ms == decision.p50_ms and entry.boundary == IMAGE_TO_LABELS
            for entry in self.profile.measurements
            if (entry.precision, entry.shape) == (decision.precision, self.shape)
        )


@dataclass(frozen=True, kw_only=True)
class Material:
    """All of it; runs in the order of params.yaml."""

    classes: ClassTable
    samples: dict[str, Sample]  # of the evaluation split, by id
    statistics: Statistics
    teacher: Judged
    runs: dict[str, Run]
    inspected: list[InspectedSample]  # all samples, the rejected ones too

    @property
    def rejected(self) -> list[InspectedSample]:
        """The samples that curation left out; the first rule of each is the one that did."""
        return [sample for sample in self.inspected if sample.decision == "drop"]

    @property
    def distilled(self) -> list[Run]:
        return [run for run in self.runs.values() if not run.is_baseline]

    @property
    def families(self) -> dict[str, list[Run]]:
        """Runs that are compared with each other: a baseline's name -> itself and all measured against it."""
        baselines = [run for run in self.runs.values() if run.is_baseline]
        return {b.name: [b, *(run for run in self.distilled if run.params.baseline == b.name)] for b in baselines}


def gather(runs: Mapping[str, RunParams], split: str, folders: Folders) -> Material:
    """Read every input.

    Raises:
        ReportError: a file is missing, damaged or made for other classes or another split.
        ClassTableError, SampleListError, InspectionError: the same for the class table, the sample list and what was
            inspected.
    """
    classes = ClassTable.load(folders.prepared / "classes.json")
    statistics = read_record(Statistics, folders.curated / "statistics.json", "curate")
    if statistics.classes != classes.names:
        raise corrupt(folders.curated / "statistics.json", "curate", "made for another class table")
    return Material(
        classes=classes,
        samples={sample.id: sample for sample in read_samples(folders.curated / "samples.csv", split)},
        statistics=statistics,
        teacher=_judged(TEACHER, "teacher", folders.teacher, split, classes.names, folders),
        runs={name: _run(name, run, split, classes.names, folders) for name, run in runs.items()},
        inspected=_inspected(folders.inspection / "samples.jsonl", runs),
    )


def _inspected(path: Path, runs: Collection[str]) -> list[InspectedSample]:
    inspected = read_inspected(path)
    if others := {name for sample in inspected for name in sample.networks} - {TEACHER, *runs}:
        raise corrupt(path, "inspect", f"it judges {', '.join(sorted(others))}, which params.yaml does not name")
    return inspected


def _run(name: str, params: RunParams, split: str, names: Sequence[str], folders: Folders) -> Run:
    export = read_record(Export, folders.metrics / "export" / f"{name}.json", "export")
    if not any(artifact.is_full for artifact in export.artifacts):
        raise corrupt(folders.metrics / "export" / f"{name}.json", "export", "no fp32 graph among its artifacts")
    bundle = folders.release / name
    run = Run(
        name=name,
        params=params,
        judged=_judged(name, "student", folders.students / name, split, names, folders),
        export=export,
        quantization=read_record(Quantization, folders.metrics / "quantize" / f"{name}.json", "quantize"),
        engines=read_record(Engines, folders.metrics / "engine" / f"{name}.json", "engine"),
        profile=read_record(Profile, folders.metrics / "profile" / f"{name}.json", "profile"),
        decisions=read_yaml_record(Decisions, bundle / "numerics.yaml", "release").decisions,
        release=read_record(Release, bundle / "manifest.json", "release"),
        signed=(bundle / "manifest.json.sig").is_file(),
    )
    if unknown := {(decision.file, decision.runtime) for decision in run.decisions} - set(run.of_runtime):
        named = ", ".join(f"{file} with {runtime}" for file, runtime in sorted(unknown))
        complaint = f"it decides about {named}, which stages export and quantize do not list"
        raise corrupt(bundle / "numerics.yaml", "release", complaint)
    return run


def _judged(name: str, stage: str, trained: Path, split: str, names: Sequence[str], folders: Folders) -> Judged:
    metrics = folders.metrics / "evaluate" / f"{name}.json"
    evaluation = read_record(Evaluation, metrics, "evaluate")
    if list(evaluation.iou_per_class) != list(names):
        raise corrupt(metrics, "evaluate", "made for another class table")
    if evaluation.split != split:
        raise corrupt(metrics, "evaluate", f"made on split {evaluation.split}, the report is about {split}")
    folder = folders.evaluation / name
    picture = read_bytes(folder / "confusion.png", "evaluate")
    if not picture.startswith(PNG_MARK):
        raise corrupt(folder / "confusion.png", "evaluate", "not a PNG file")
    return Judged(
        evaluation=evaluation,
        curve=read_curve(trained / "training.csv", stage),
        image_scores=read_image_scores(folder / "per_image.csv", "evaluate"),
        confusion=read_confusion(folder / "confusion.csv", "evaluate", names),
        confusion_picture=picture,
        predictions=folder / "predictions",
    )
