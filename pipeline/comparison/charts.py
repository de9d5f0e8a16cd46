"""The charts of a comparison: gains and cost, gains by class, training curves, example predictions."""

from collections.abc import Mapping, Sequence

import numpy as np

from pipeline.comparison.plan import ComparisonPaths, Trial
from pipeline.comparison.results import Gain
from pipeline.data.classes import ClassTable
from pipeline.data.samples import read_samples
from pipeline.params.runs import NO_TEACHER
from pipeline.params.sections import Split
from pipeline.reporting.charts import training
from pipeline.reporting.formatting import points
from pipeline.reporting.pictures import Predictions, example_rows, grid_png
from pipeline.reporting.style import FAMILY_HUES, INK, MUTED, Chart, canvas, in_style, rows_from_top
from pipeline.reporting.tables import Curve, read_curve, read_image_scores

VERDICT_COLORS = {"gain": "#00775a", "loss": "#c04a00"}  # any other verdict is muted
SHOWN = 4  # candidates beside the baseline: more do not fit a page, and their colors could not be told apart


@in_style()
def gains_and_cost(gains: Mapping[str, Gain], slowdown: Mapping[str, float], confidence: float) -> Chart:
    """Draw a row for each candidate: each seed's gain in points, their mean with its interval, and the `slowdown`."""
    figure, (left, right) = canvas(8.6, 1.3 + 0.31 * len(gains), columns=2, width_ratios=[3, 1], sharey=True)
    for row, gain in enumerate(gains.values()):
        color = VERDICT_COLORS.get(gain.verdict, MUTED)
        if gain.low is not None and gain.high is not None:
            left.plot([gain.low, gain.high], [row, row], color=color, lw=2.2, solid_capstyle="butt")
        left.plot(gain.differences, [row] * len(gain.differences), "o", ms=3.6, mfc="none", mec=color, mew=0.9)
        left.plot([gain.mean], [row], "D", ms=5.2, color=color)
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
    return Chart(figure)


@in_style()
def class_gains(gains: Mapping[str, Mapping[str, float | None]]) -> Chart:
    """Draw candidates by classes: the mean gain in points as a color and as a number."""
    names = list(next(iter(gains.values())))
    grid = np.array([[np.nan if value is None else value for value in row.values()] for row in gains.values()])
    reach = max(1.0, float(np.nanmax(np.abs(grid)))) if np.isfinite(grid).any() else 1.0
    figure, (axes,) = canvas(2.2 + 0.62 * len(names), 1.5 + 0.3 * len(gains))
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
    return Chart(figure)


def curves(trials: Sequence[Trial], paths: ComparisonPaths) -> Chart:
    """Draw the training of the baseline and at most `SHOWN` candidates, each averaged over its seeds."""
    means = {}
    for name in dict.fromkeys(trial.candidate for trial in trials):
        files = [paths.trials / trial.name / "training.csv" for trial in trials if trial.candidate == name]
        columns = zip(*(read_curve(file, "compare") for file in files), strict=True)  # one recipe: equal iterations
        mean = [None if column[0] is None else np.mean(column, axis=0) for column in columns]
        means[name] = Curve(*mean)  # type: ignore[reportArgumentType]: iteration and task are never None
    candidates = [name for name in means if name != NO_TEACHER]
    return training(means, {NO_TEACHER: MUTED, **dict(zip(candidates, FAMILY_HUES, strict=False))})


def examples_png(trials: Sequence[Trial], split: Split, paths: ComparisonPaths) -> bytes:
    """Draw every candidate's prediction for the images with the first candidate's largest, median and smallest gain.

    All trials have the same seed; the baseline comes first. Raises ArtifactError if a file is missing or damaged.
    """
    compared = {}
    for trial in trials:
        folder = paths.trials / trial.name / split
        scores = read_image_scores(folder / "per_image.csv", "compare")
        compared[trial.candidate] = Predictions(folder / "predictions", scores)
    baseline, first = (compared[trial.candidate].image_scores for trial in trials[:2])
    samples = {sample.id: sample for sample in read_samples(paths.samples, split)}
    pairs = {name: (first[name], baseline[name]) for name in samples}
    gains = {name: None if a is None or b is None else a - b for name, (a, b) in pairs.items()}
    classes = ClassTable.load(paths.classes)
    return grid_png(example_rows(gains, compared, samples, classes, 1), classes)
