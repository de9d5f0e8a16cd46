"""The results of finished trials for each candidate, and its gain over the baseline with a confidence interval."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from statistics import fmean, median
from typing import Any, Literal, NamedTuple

import numpy as np
from scipy import stats

from pipeline.comparison.plan import ComparisonPaths, Trial
from pipeline.comparison.trial import Cost, read_training
from pipeline.params.runs import TeachingParams
from pipeline.params.sections import Split
from pipeline.records.evaluation import Evaluation
from pipeline.records.files import read_record

Verdict = Literal["gain", "no significant gain", "loss", "one seed: no verdict"]


class Gain(NamedTuple):
    """Differences from the baseline with the same seed."""

    differences: tuple[float, ...]
    mean: float
    low: float | None  # ends of the confidence interval of the mean; None with one seed
    high: float | None
    verdict: Verdict


def paired_gain(scores: Sequence[float], baseline: Sequence[float], confidence: float) -> Gain:
    """Return the paired differences, and Student's t interval of their mean.

    The verdict is "gain" or "loss" only if the whole interval is on one side of zero. Pairs share initial weights, data
    order and recipe, so effects of the seed on both cancel. The interval assumes normally distributed differences. It
    covers only the choice of the seed, not of the teacher or the data. Raises ValueError if the numbers of scores
    differ, or if there are none.
    """
    if len(scores) != len(baseline) or not len(scores):
        raise ValueError(f"{len(scores)} scores cannot be paired with {len(baseline)} of the baseline")
    differences = np.subtract(scores, baseline, dtype=np.float64)
    mean = float(differences.mean())
    if len(differences) == 1:
        return Gain((mean,), mean, None, None, "one seed: no verdict")
    standard_error = float(differences.std(ddof=1)) / len(differences) ** 0.5
    reach = float(stats.t.ppf((1 + confidence) / 2, df=len(differences) - 1)) * standard_error
    low, high = mean - reach, mean + reach
    verdict: Verdict = "gain" if low > 0 else "loss" if high < 0 else "no significant gain"
    return Gain(tuple(differences.tolist()), mean, low, high, verdict)


@dataclass(frozen=True, kw_only=True)
class CandidateResult:
    """One candidate over all its seeds; lists are in the order of the seeds."""

    name: str
    teaching: TeachingParams
    iterations: int
    miou: tuple[float, ...]  # 0..1
    iou_per_class: tuple[dict[str, float | None], ...]  # 0..1; None for a class without a label in the split
    seconds_per_iteration: tuple[float, ...]  # median of each training
    peak_memory_bytes: int  # largest of the seeds, whole process
    gpu_peak_memory_bytes: int | None
    gpu_watts: float | None  # mean of the seeds; None if a GPU did not report it
    agreement: float | None  # 0..1, with the teacher, mean of the seeds
    cost: Cost
    machines: tuple[dict[str, Any], ...]
    precisions: tuple[str, ...]  # of the training, in words

    @property
    def seconds(self) -> float:
        """Return the median time of an iteration over the seeds, in seconds."""
        return median(self.seconds_per_iteration)

    def slowdown(self, baseline: "CandidateResult") -> float:
        """Return the median ratio of an iteration's time to the baseline's; each seed may have its own machine."""
        pairs = zip(self.seconds_per_iteration, baseline.seconds_per_iteration, strict=True)
        return median(ours / theirs for ours, theirs in pairs)

    def gain(self, baseline: "CandidateResult", confidence: float) -> Gain:
        """Return the gain in points of mIoU."""
        return paired_gain([100 * miou for miou in self.miou], [100 * miou for miou in baseline.miou], confidence)

    def class_gains(self, baseline: "CandidateResult") -> dict[str, float | None]:
        """Return the mean gain of each class in points; None if a seed has no value for it."""
        gains: dict[str, float | None] = {}
        for name in baseline.iou_per_class[0]:
            pairs = [(a[name], b[name]) for a, b in zip(self.iou_per_class, baseline.iou_per_class, strict=True)]
            known = [100 * (ours - theirs) for ours, theirs in pairs if ours is not None and theirs is not None]
            gains[name] = fmean(known) if len(known) == len(pairs) else None
        return gains


def read_results(trials: Sequence[Trial], split: Split, paths: ComparisonPaths) -> dict[str, CandidateResult]:
    """Read finished trials by candidate; raise ArtifactError if a record is missing or damaged."""
    results = {}
    for name in sorted({trial.candidate for trial in trials}):
        of_one = [trial for trial in trials if trial.candidate == name]
        trained = [read_training(trial, paths) for trial in of_one]
        files = [paths.trials / trial.name / split / "metrics.json" for trial in of_one]
        evaluated = [read_record(Evaluation, file, "compare") for file in files]
        teaching = {field.name: getattr(of_one[0].run, field.name) for field in fields(TeachingParams)}
        results[name] = CandidateResult(
            name=name,
            teaching=TeachingParams(**teaching),
            iterations=of_one[0].run.iterations,
            miou=tuple(entry.miou for entry in evaluated),
            iou_per_class=tuple(entry.iou_per_class for entry in evaluated),
            seconds_per_iteration=tuple(entry.seconds_per_iteration for entry in trained),
            peak_memory_bytes=max(entry.peak_memory_bytes for entry in trained),
            gpu_peak_memory_bytes=_if_all(max, [entry.gpu_peak_memory_bytes for entry in trained]),
            gpu_watts=_if_all(fmean, [entry.gpu_watts for entry in trained]),
            agreement=_if_all(fmean, [entry.agreement for entry in trained]),
            cost=trained[0].cost,
            machines=tuple(entry.machine for entry in trained),
            precisions=tuple(entry.precision for entry in evaluated),
        )
    return results


def _if_all(combine: Any, values: Sequence[Any]) -> Any:
    return None if None in values else combine(values)
