"""Read and check all inputs of the report, before it draws or writes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.data.classes import ClassTable
from pipeline.data.samples import Sample, read_samples
from pipeline.inspection.records import TEACHER, InspectedSample, read_inspected
from pipeline.params.runs import RunParams
from pipeline.records.artifacts import Artifact
from pipeline.records.benchmark import IMAGE_TO_LABELS
from pipeline.records.curation import Statistics
from pipeline.records.evaluation import Evaluation
from pipeline.records.files import damaged, read_record
from pipeline.records.release import Decision, Manifest, Numerics
from pipeline.records.run import RunRecords, read_evaluation, read_run
from pipeline.reporting.pictures import Predictions
from pipeline.reporting.tables import Curve, read_confusion, read_curve, read_image_scores

MOST_CONFUSED = 3


@dataclass(frozen=True, kw_only=True)
class Folders:
    """The folders of the other stages' files."""

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

    @property
    def confused(self) -> np.ndarray:
        """The confusion matrix as shares of each label's pixels, 0..1, (k, k)."""
        totals = self.confusion.sum(axis=1, keepdims=True)
        return np.divide(self.confusion, totals, out=np.zeros(self.confusion.shape), where=totals > 0)

    def most_confused(self) -> list[tuple[str, str, float]]:
        """Return the most frequent confusions: label, prediction, and share of the label's pixels (0..1, never 0)."""
        names, shares = list(self.evaluation.iou_per_class), self.confused
        np.fill_diagonal(shares, 0)
        largest = np.argsort(-shares, axis=None, kind="stable")[:MOST_CONFUSED]
        places = [divmod(int(place), len(names)) for place in largest]
        return [
            (names[row], names[column], float(shares[row, column])) for row, column in places if shares[row, column]
        ]


@dataclass(frozen=True, kw_only=True)
class Run(Network, RunRecords):
    """One student, from training to release."""

    name: str
    params: RunParams
    baseline_miou: float  # 0..1; for a baseline its own mIoU
    decisions: list[Decision]
    release: Manifest
    signed: bool

    @property
    def is_baseline(self) -> bool:
        return not self.params.has_teacher

    @property
    def gain_points(self) -> float | None:
        """Points of mIoU above the baseline; None for a baseline."""
        return None if self.is_baseline else 100 * (self.evaluation.miou - self.baseline_miou)

    @property
    def of_runtime(self) -> dict[tuple[str, str], Artifact]:
        """All ONNX files, by file and runtime."""
        return {(artifact.file, runtime): artifact for artifact in self.artifacts for runtime in artifact.runtimes}

    @property
    def shape(self) -> tuple[int, int, int]:
        """Batch, height and width of the released graphs."""
        height, width = self.evaluation.input
        return 1, height, width

    @property
    def fp32_ms(self) -> float | None:
        """The median latency of the fp32 graph on ONNX Runtime, image to labels; None if it was not measured."""
        timing = self.benchmark.measured("onnxruntime", "fp32", self.shape)
        return timing.p50_ms if timing else None

    @property
    def shipping(self) -> list[Decision]:
        """The released files, fastest first; none if the run was rejected."""
        if self.release.status == "rejected":
            return []
        return sorted((d for d in self.decisions if d.verdict == "accepted"), key=lambda d: d.p50_ms or 0.0)

    @property
    def fastest(self) -> Decision | None:
        return self.shipping[0] if self.shipping else None

    def is_noisy(self, decision: Decision) -> bool:
        """Return whether the latency behind a decision is noisy."""
        return any(
            entry.noisy and entry.p50_ms == decision.p50_ms and entry.boundary == IMAGE_TO_LABELS
            for entry in self.benchmark.measurements
            if (entry.precision, entry.shape) == (decision.precision, self.shape)
        )

    def times_eager(self, decision: Decision) -> float | None:
        """Return the speed-up over PyTorch eager float32; None if there is nothing to compare with."""
        return self.benchmark.times_eager(decision.runtime, decision.p50_ms, self.shape)


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
    def best(self) -> Run:
        """The student with the highest mIoU; the first one if several are equal."""
        return max(self.runs.values(), key=lambda run: run.evaluation.miou)

    @property
    def rejected(self) -> list[InspectedSample]:
        """Samples that curation excluded; the first rule of each is the reason."""
        return [sample for sample in self.inspected if sample.decision == "drop"]

    @property
    def distilled(self) -> list[Run]:
        return [run for run in self.runs.values() if not run.is_baseline]

    @property
    def families(self) -> dict[str, list[Run]]:
        """The baseline and all runs compared with it, by the baseline's name."""
        families = {run.name: [run] for run in self.runs.values() if run.is_baseline}
        for run in self.distilled:
            families[run.params.baseline].append(run)
        return families


def load(runs: Mapping[str, RunParams], split: str, folders: Folders) -> Inputs:
    """Read every input; raises ArtifactError or DatasetError if one is missing, damaged, or has other classes."""
    classes = ClassTable.load(folders.prepared / "classes.json")
    samples = {sample.id: sample for sample in read_samples(folders.curated / "samples.csv", split)}
    inputs = Inputs(
        classes=classes,
        samples=samples,
        statistics=read_record(Statistics, folders.curated / "statistics.json", "curate"),
        teacher=_load_network(TEACHER, "teacher", folders.teacher, classes.names, folders),
        runs={name: _load_run(name, run, classes.names, folders) for name, run in runs.items()},
        inspected=read_inspected(folders.inspection / "samples.jsonl"),
    )
    if inputs.statistics.classes != classes.names:
        raise damaged(folders.curated / "statistics.json", "curate", "made for another class table")
    if unknown := {name for sample in inputs.inspected for name in sample.networks} - {TEACHER, *runs}:
        complaint = f"contains {', '.join(sorted(unknown))}, which params.yaml does not name"
        raise damaged(folders.inspection / "samples.jsonl", "inspect", complaint)
    for name, network in {TEACHER: inputs.teacher, **inputs.runs}.items():
        metrics, evaluated = folders.metrics / "evaluate" / f"{name}.json", network.evaluation.split
        if evaluated != split:
            raise damaged(metrics, "evaluate", f"made on split {evaluated}, but the report is about split {split}")
        if unknown := set(network.predictions.image_scores) - set(samples):
            complaint = f"names {min(unknown)!r}, which is not in split {split}"
            raise damaged(folders.evaluation / name / "per_image.csv", "evaluate", complaint)
    return inputs


def _load_run(name: str, params: RunParams, names: Sequence[str], folders: Folders) -> Run:
    network = _load_network(name, "student", folders.students / name, names, folders)
    bundle = folders.release / name
    run = Run(
        **{**vars(read_run(folders.metrics, name)), **vars(network)},
        name=name,
        params=params,
        baseline_miou=read_evaluation(folders.metrics, params.baseline).miou,
        decisions=read_record(Numerics, bundle / "numerics.yaml", "release").decisions,
        release=read_record(Manifest, bundle / "manifest.json", "release"),
        signed=(bundle / "manifest.json.sig").is_file(),
    )
    if unknown := {(decision.file, decision.runtime) for decision in run.decisions} - set(run.of_runtime):
        named = ", ".join(f"{file} with {runtime}" for file, runtime in sorted(unknown))
        complaint = f"it decides about {named}, which stages export and quantize do not list"
        raise damaged(bundle / "numerics.yaml", "release", complaint)
    return run


def _load_network(name: str, stage: str, trained: Path, names: Sequence[str], folders: Folders) -> Network:
    evaluation, folder = read_evaluation(folders.metrics, name), folders.evaluation / name
    if list(evaluation.iou_per_class) != list(names):
        raise damaged(folders.metrics / "evaluate" / f"{name}.json", "evaluate", "made for another class table")
    scores = read_image_scores(folder / "per_image.csv", "evaluate")
    return Network(
        evaluation=evaluation,
        curve=read_curve(trained / "training.csv", stage),
        predictions=Predictions(folder / "predictions", scores),
        confusion=read_confusion(folder / "confusion.csv", "evaluate", names),
    )
