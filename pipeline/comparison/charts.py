"""The charts of a comparison: gains and cost, gains by class, training curves, example predictions."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.comparison.gain import Gain
from pipeline.comparison.plan import ComparisonPaths, Trial
from pipeline.data.classes import ClassTable
from pipeline.data.samples import read_samples
from pipeline.params.runs import NO_TEACHER
from pipeline.params.sections import Split
from pipeline.reporting.dataset_charts import training
from pipeline.reporting.formatting import points
from pipeline.reporting.pictures import Predictions, choose_examples, example_row, grid_png
from pipeline.reporting.style import FAMILY_HUES, INK, MUTED, Chart, draw, rows_from_top
from pipeline.reporting.tables import Curve, read_curve, read_image_scores

VERDICT_COLORS = {"gain": "#00775a", "loss": "#c04a00"}  # any other verdict is muted
SHOWN = 4
"""Candidates shown beside the baseline: more do not fit a page, and their colors could not be told apart."""


def gains_and_cost(gains: Mapping[str, Gain], slowdown: Mapping[str, float], confidence: float) -> Chart:
    """Draw a row for each candidate: each seed's gain, their mean with its interval, and the time of an iteration.

    Args:
        gains: in points; drawn in this order, from the top.
        slowdown: seconds for each iteration, relative to the baseline.
    """

    def paint(figure: Figure) -> None:
        left, right = figure.subplots(1, 2, width_ratios=[3, 1], sharey=True)
        for row, gain in enumerate(gains.values()):
            _interval(left, row, gain)
        left.axvline(0, color=INK, lw=0.9)
        left.set_yticks(range(len(gains)), list(gains))
        left.set_ylim(-0.7, len(gains) - 0.3)
        left.set_xlabel("mIoU against the baseline of the same seed, points")
        one_seed = all(gain.low is None for gain in gains.values())
        left.set_title("Gain: one seed" if one_seed else f"Gain: seeds, mean and {100 * confidence:.0f} % interval")
        rows_from_top(left)

        right.barh(range(len(gains)), list(slowdown.values()), 0.55, color="#b8c4ce")
        for row, factor in enumerate(slowdown.values()):
            right.text(factor, row, f" {factor:.1f}", va="center", fontsize=8, color=MUTED)
        right.axvline(1, color=INK, lw=0.9)
        right.set_xlim(0, 1.18 * max(slowdown.values()))
        right.set_xlabel("times the baseline")
        right.set_title("Time of an iteration")
        right.grid(visible=False, axis="y")
        right.tick_params(axis="y", length=0)

    return draw((8.6, 1.3 + 0.31 * len(gains)), paint)


def _interval(axes: Axes, row: int, gain: Gain) -> None:
    color = VERDICT_COLORS.get(gain.verdict, MUTED)
    if gain.low is not None and gain.high is not None:
        axes.plot([gain.low, gain.high], [row, row], color=color, lw=2.2, solid_capstyle="butt")
    axes.plot(gain.differences, [row] * len(gain.differences), "o", ms=3.6, mfc="none", mec=color, mew=0.9)
    axes.plot([gain.mean], [row], "D", ms=5.2, color=color)


def class_gains(gains: Mapping[str, Sequence[float | None]], names: Sequence[str]) -> Chart:
    """Draw candidates by classes: the mean gain in points as a color and as a number."""
    grid = np.array([[np.nan if value is None else value for value in row] for row in gains.values()], dtype=float)
    reach = max(1.0, float(np.nanmax(np.abs(grid)))) if np.isfinite(grid).any() else 1.0

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        axes.imshow(grid, cmap="PuOr", vmin=-reach, vmax=reach, aspect="auto")
        for (row, column), value in np.ndenumerate(grid):
            text = "n/a" if np.isnan(value) else points(value)
            strong = np.isfinite(value) and abs(value) > 0.6 * reach
            axes.text(column, row, text, ha="center", va="center", fontsize=7.5, color="white" if strong else INK)
        axes.set_xticks(range(len(names)), names, rotation=35, ha="right")
        axes.set_yticks(range(len(gains)), list(gains))
        axes.tick_params(length=0)
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
        axes.set_title("Mean gain of each class, points of IoU")

    return draw((2.2 + 0.62 * len(names), 1.5 + 0.3 * len(gains)), paint)


def curves(trials: Sequence[Trial], paths: ComparisonPaths) -> Chart:
    """Draw the training of each candidate, averaged over its seeds.

    Args:
        trials: of all seeds; at most `SHOWN` candidates beside the baseline.

    Raises:
        ArtifactError: a curve is missing or damaged.
    """
    of_candidate: dict[str, list[Curve]] = {}
    for trial in trials:
        curve = read_curve(paths.trials / trial.name / "training.csv", "compare")
        of_candidate.setdefault(trial.candidate, []).append(curve)
    candidates = [name for name in of_candidate if name != NO_TEACHER]
    colors = {NO_TEACHER: MUTED, **dict(zip(candidates, FAMILY_HUES, strict=False))}
    return training({name: _mean(of_one) for name, of_one in of_candidate.items()}, colors)


def _mean(curves: Sequence[Curve]) -> Curve:
    """Average curves of one recipe, which log the same iterations; None where nothing was distilled."""
    columns = zip(*curves, strict=True)
    means = [None if column[0] is None else np.mean(column, axis=0) for column in columns]
    return Curve(*means)  # type: ignore[reportArgumentType]: iteration and task are never None


def examples_png(trials: Sequence[Trial], split: Split, paths: ComparisonPaths) -> bytes:
    """Show the images where the first candidate gains most, its median and least, as every candidate sees them.

    Args:
        trials: of one seed: the baseline, then the candidates in the order in which they are drawn.

    Raises:
        ArtifactError: an image, a mask or a prediction is missing or damaged.
    """
    compared = {}
    for trial in trials:
        folder = paths.trials / trial.name / split
        scores = read_image_scores(folder / "per_image.csv", "compare")
        compared[trial.candidate] = Predictions(folder / "predictions", scores)
    baseline, first = (compared[trial.candidate].image_scores for trial in trials[:2])
    classes = ClassTable.load(paths.classes)
    samples = {sample.id: sample for sample in read_samples(paths.samples, split)}
    pairs = {name: (first[name], baseline[name]) for name in samples}
    gains = {name: None if a is None or b is None else a - b for name, (a, b) in pairs.items()}
    rows = [example_row(example, samples[example.id], classes, compared) for example in choose_examples(gains, 1)]
    return grid_png(rows, classes)
