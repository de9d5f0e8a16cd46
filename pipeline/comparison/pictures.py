"""What the candidates of a comparison predict, and how they learned."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipeline.comparison.plan import Places, Trial
from pipeline.data.classes import ClassTable
from pipeline.data.samples import read_samples
from pipeline.params import Split
from pipeline.params.runs import NO_TEACHER
from pipeline.reporting.charts import FAMILY_HUES, MUTED, Chart
from pipeline.reporting.figures import training
from pipeline.reporting.pictures import choose_examples, example_row, grid_png
from pipeline.reporting.tables import Curve, read_curve, read_image_scores

SHOWN = 4
"""So many candidates beside the baseline: what a page is wide enough for, and what colors can be told apart."""


class TrialPredictions(NamedTuple):
    """What one trained student said about a split."""

    predictions: Path
    image_scores: dict[str, float | None]  # sample id -> mIoU, 0..1


def examples_png(trials: Sequence[Trial], split: Split, places: Places) -> bytes:
    """The images where the first candidate gains most, its median and least, as the baseline and the candidates see it.

    Args:
        trials: of one seed: the baseline, then the candidates in the order in which they are drawn.

    Raises:
        ReportError: an image, a mask or a prediction is missing or damaged.
    """
    compared = {trial.candidate: _predictions(trial, split, places) for trial in trials}
    baseline, first = (compared[trial.candidate].image_scores for trial in trials[:2])
    classes = ClassTable.load(places.classes)
    samples = {sample.id: sample for sample in read_samples(places.samples, split)}
    examples = choose_examples({name: _difference(first[name], baseline[name]) for name in samples}, 1)
    return grid_png([example_row(example, samples[example.id], classes, compared) for example in examples], classes)


def curves(trials: Sequence[Trial], places: Places) -> Chart:
    """The training of each candidate, its seeds' mean.

    Args:
        trials: of all seeds; at most `SHOWN` candidates beside the baseline.

    Raises:
        ReportError: a curve is missing or damaged.
    """
    of_candidate: dict[str, list[Curve]] = {}
    for trial in trials:
        curve = read_curve(places.runs / trial.name / "training.csv", "student")
        of_candidate.setdefault(trial.candidate, []).append(curve)
    candidates = [name for name in of_candidate if name != NO_TEACHER]
    colors = {NO_TEACHER: MUTED, **dict(zip(candidates, FAMILY_HUES, strict=False))}
    return training({name: _mean(of_one) for name, of_one in of_candidate.items()}, colors)


def _predictions(trial: Trial, split: Split, places: Places) -> TrialPredictions:
    folder = places.runs / trial.name / split
    return TrialPredictions(folder / "predictions", read_image_scores(folder / "per_image.csv", "evaluate"))


def _difference(ours: float | None, theirs: float | None) -> float | None:
    return None if ours is None or theirs is None else ours - theirs


def _mean(of_seeds: Sequence[Curve]) -> Curve:
    """They log the same iterations: the recipe is one."""
    return Curve(
        iteration=of_seeds[0].iteration,
        task=np.mean([curve.task for curve in of_seeds], axis=0),
        distill=_mean_of_known([curve.distill for curve in of_seeds]),
        agreement=_mean_of_known([curve.agreement for curve in of_seeds]),
    )


def _mean_of_known(columns: Sequence[np.ndarray | None]) -> np.ndarray | None:
    known = [column for column in columns if column is not None]
    return np.mean(known, axis=0) if known else None
