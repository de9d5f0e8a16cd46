"""The charts of what went in: the data set and the training curves."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from pipeline.reporting.charts import DOTS_PER_INCH, MUTED, SPLIT_COLORS, Chart, draw, rows_from_top
from pipeline.reporting.tables import Curve

SMOOTHING_WINDOWS = 25  # the thick line averages over one part in so many of a curve


def class_balance(names: Sequence[str], shares: Mapping[str, Sequence[float]]) -> Chart:
    """Share of labelled pixels (0..1) of each class, one bar for each split."""

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        height = 0.8 / len(shares)
        for place, (split, values) in enumerate(shares.items()):
            rows = np.arange(len(names)) + (place - (len(shares) - 1) / 2) * height
            percent = 100 * np.asarray(values)
            axes.barh(rows, percent, 0.9 * height, color=SPLIT_COLORS[split], label=split)
            for row, value in zip(rows, percent, strict=True):
                axes.text(value + 0.3, row, _short(value), va="center", fontsize=7, color=MUTED)
        axes.set_yticks(range(len(names)), names)
        axes.set_xlabel("share of labelled pixels, %")
        rows_from_top(axes)
        axes.legend(loc="lower right")

    return draw((6.4, 0.9 + 0.145 * len(names) * (1 + len(shares))), paint)


def sample_map(places: Mapping[str, Sequence[tuple[float, float]]]) -> Chart:
    """A dot for each sample in the plane of its features, colored by split; no axis has a unit."""

    def paint(figure: Figure) -> None:
        figure.set_dpi(DOTS_PER_INCH)  # that of the dots, which are pixels in the SVG too: there may be thousands
        axes = figure.add_subplot()
        for split, members in places.items():
            across, up = np.array(members).T
            axes.scatter(
                across, up, s=16, c=SPLIT_COLORS[split], alpha=0.75, linewidths=0, label=f"{split} ({len(members)})",
                rasterized=True,
            )  # fmt: skip
        axes.set_aspect("equal", "datalim")
        axes.set(xticks=[], yticks=[], xlabel="first component", ylabel="second component")
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(places))

    return draw((8.6, 4.2), paint)


def training(curves: Mapping[str, Curve], colors: Mapping[str, str]) -> Chart:
    """Against iteration: the loss on the labels; where there is a teacher, its term and the agreement with it."""
    distilled = {name: (c.iteration, c.distill) for name, c in curves.items() if c.distill is not None}
    agreement = {name: (c.iteration, 100 * c.agreement) for name, c in curves.items() if c.agreement is not None}

    def paint(figure: Figure) -> None:
        titles = ["Task loss"]
        titles += ["Distillation term, weighted"] if distilled else []
        titles += ["Agreement with the teacher, %"] if agreement else []
        panels = figure.subplots(1, len(titles), squeeze=False)[0]
        for axes, title in zip(panels, titles, strict=True):
            axes.set_title(title)
            axes.set_xlabel("iteration")
        for name, curve in curves.items():
            _curve(panels[0], name, curve.iteration, curve.task, colors[name], dashed=name == "teacher")
        panels[0].legend(fontsize=8)
        for name, (iteration, distill) in distilled.items():
            _curve(panels[1], name, iteration, distill, colors[name], dashed=False)
        for name, (iteration, share) in agreement.items():
            _curve(panels[-1], name, iteration, share, colors[name], dashed=False)
        for axes in panels[: 2 if distilled else 1]:
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
            axes.yaxis.set_minor_formatter(NullFormatter())

    return draw((11.4 if agreement else 8.6, 3.7), paint)


def _curve(axes: Axes, name: str, x: np.ndarray, y: np.ndarray, color: str, dashed: bool) -> None:
    """The logged values thin, their moving average thick."""
    window = max(1, len(y) // SMOOTHING_WINDOWS)
    smooth = np.convolve(y, np.ones(window) / window, mode="valid")
    axes.plot(x, y, color=color, lw=0.7, alpha=0.35)
    axes.plot(x[window - 1 :], smooth, color=color, lw=1.9, ls="--" if dashed else "-", label=name)


def _short(value: float) -> str:
    return f"{value:.1f}" if value >= 0.1 or value == 0 else f"{value:.2f}"
