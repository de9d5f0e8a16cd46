"""The two charts of a comparison."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.comparison.gain import Gain
from pipeline.reporting.charts import INK, MUTED, Chart, draw, rows_from_top
from pipeline.reporting.wording import points

VERDICT_COLORS = {"gain": "#00775a", "loss": "#c04a00"}  # anything else is muted


def gains_and_cost(gains: Mapping[str, Gain], slowdown: Mapping[str, float], confidence: float) -> Chart:
    """Each candidate a row: the seeds' gains, their mean with its interval, and the time of an iteration.

    Args:
        gains: in points; drawn in this order, from the top.
        slowdown: seconds per iteration, relative to the baseline.
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
    """Candidates by classes: the mean gain in points as a color and as a number."""
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
