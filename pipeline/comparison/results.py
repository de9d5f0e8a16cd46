"""What the finished trials say, read from their records."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from statistics import fmean, median
from typing import Any

from pipeline.comparison.cost import Cost
from pipeline.comparison.gain import Gain, paired_gain
from pipeline.comparison.plan import Places, Trial
from pipeline.params import Split
from pipeline.params.runs import TeachingParams


@dataclass(frozen=True, kw_only=True)
class CandidateResult:
    """One candidate over all its seeds; lists are in the order of the seeds."""

    name: str
    teaching: TeachingParams
    miou: tuple[float, ...]  # 0..1
    iou_per_class: tuple[dict[str, float | None], ...]  # None where a class neither occurs nor is predicted
    seconds_per_iteration: tuple[float, ...]  # median of each training's windows
    peak_memory_bytes: int  # largest of the seeds, whole process
    gpu_peak_memory_bytes: int | None
    gpu_watts: float | None  # mean of the seeds; None where no GPU said it
    agreement: float | None  # share of equal cells of student and teacher, mean of the last logged batches
    cost: Cost
    machines: tuple[dict[str, Any], ...]

    @property
    def mean_miou(self) -> float:
        return fmean(self.miou)

    def times(self, baseline: "CandidateResult") -> float:
        """How long an iteration takes beside the baseline's of the same seed: seeds may be of different machines."""
        pairs = zip(self.seconds_per_iteration, baseline.seconds_per_iteration, strict=True)
        return median(ours / theirs for ours, theirs in pairs)


def read_results(trials: Sequence[Trial], split: Split, places: Places) -> dict[str, CandidateResult]:
    """Gather finished trials by candidate, the baseline first."""
    by_candidate: dict[str, list[Trial]] = {}
    for trial in trials:
        by_candidate.setdefault(trial.candidate, []).append(trial)
    return {name: _candidate(name, of_one, split, places) for name, of_one in by_candidate.items()}


def gain_of(result: CandidateResult, baseline: CandidateResult, confidence: float) -> Gain:
    """In points of mIoU."""
    return paired_gain([100 * value for value in result.miou], [100 * value for value in baseline.miou], confidence)


def class_gains(result: CandidateResult, baseline: CandidateResult) -> dict[str, float | None]:
    """Mean gain of each class in points; None where a seed has no value for it."""
    gains: dict[str, float | None] = {}
    for name in baseline.iou_per_class[0]:
        pairs = [
            (ours[name], theirs[name])
            for ours, theirs in zip(result.iou_per_class, baseline.iou_per_class, strict=True)
        ]
        known = [100 * (ours - theirs) for ours, theirs in pairs if ours is not None and theirs is not None]
        gains[name] = fmean(known) if len(known) == len(pairs) else None
    return gains


def _candidate(name: str, trials: Sequence[Trial], split: Split, places: Places) -> CandidateResult:
    trained = [_read(places, trial, "trained.json") for trial in trials]
    judged = [_read(places, trial, f"{split}/metrics.json") for trial in trials]
    gpu = [record["gpu_peak_memory_bytes"] for record in trained]
    watts = [float(record["gpu_watts"]) for record in trained if record.get("gpu_watts") is not None]
    agreement = [record["agreement"] for record in trained]
    return CandidateResult(
        name=name,
        teaching=TeachingParams(**{field.name: getattr(trials[0].run, field.name) for field in fields(TeachingParams)}),
        miou=tuple(record["miou"] for record in judged),
        iou_per_class=tuple(record["iou_per_class"] for record in judged),
        seconds_per_iteration=tuple(record["seconds_per_iteration"] for record in trained),
        peak_memory_bytes=max(record["peak_memory_bytes"] for record in trained),
        gpu_peak_memory_bytes=None if None in gpu else max(gpu),
        gpu_watts=fmean(watts) if len(watts) == len(trained) else None,
        agreement=None if None in agreement else fmean(agreement),
        cost=Cost(**trained[0]["cost"]),
        machines=tuple(record["machine"] for record in trained),
    )


def _read(places: Places, trial: Trial, name: str) -> Mapping[str, Any]:
    return json.loads((places.runs / trial.name / name).read_text())
