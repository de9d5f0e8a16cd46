"""Charts of the dataset and of the training."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.data.samples import SPLITS
from pipeline.inspection.records import InspectedSample
from pipeline.reporting.style import DOTS_PER_INCH, MUTED, SPLIT_COLORS, Chart, draw, log_ticks, rows_from_top
from pipeline.reporting.tables import Curve

SMOOTHING_WINDOWS = 25  # the thick line averages over 1/25 of a curve


def class_balance(names: Sequence[str], shares: Mapping[str, Sequence[float]]) -> Chart:
    """Draw the share of labelled pixels (0..1) of each class, one bar for each split."""

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        height = 0.8 / len(shares)
        for place, (split, values) in enumerate(shares.items()):
            rows = np.arange(len(names)) + (place - (len(shares) - 1) / 2) * height
            percent = 100 * np.asarray(values)
            axes.barh(rows, percent, 0.9 * height, color=SPLIT_COLORS[split], label=split)
            for row, value in zip(rows, percent, strict=True):
                text = f"{value:.1f}" if value >= 0.1 or value == 0 else f"{value:.2f}"
                axes.text(value + 0.3, row, text, va="center", fontsize=7, color=MUTED)
        axes.set_yticks(range(len(names)), names)
        axes.set_xlabel("share of labelled pixels, %")
        rows_from_top(axes)
        axes.legend(loc="lower right")

    return draw((6.4, 0.9 + 0.145 * len(names) * (1 + len(shares))), paint)


def sample_map(samples: Iterable[InspectedSample]) -> Chart:
    """Draw a dot for each sample at its position in feature space, colored by split; the axes have no unit."""
    positions = [(sample.split, sample.position) for sample in samples if sample.position is not None]
    splits = [split for split in SPLITS if any(split == found for found, _ in positions)]

    def paint(figure: Figure) -> None:
        figure.set_dpi(DOTS_PER_INCH)  # of the dots, which are pixels in the SVG too: there may be thousands
        axes = figure.add_subplot()
        for split in splits:
            x, y = np.array([position for found, position in positions if found == split]).T
            axes.scatter(x, y, s=16, c=SPLIT_COLORS[split], alpha=0.75, linewidths=0, label=f"{split} ({len(x)})",
                         rasterized=True)  # fmt: skip
        axes.set_aspect("equal", "datalim")
        axes.set(xticks=[], yticks=[], xlabel="first component", ylabel="second component")
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=max(1, len(splits)))

    return draw((8.6, 4.2), paint)


def training(curves: Mapping[str, Curve], colors: Mapping[str, str]) -> Chart:
    """Draw the loss on the labels against iteration; for distilled runs also their term and agreement."""
    distilled = {name: (c.iteration, c.distill) for name, c in curves.items() if c.distill is not None}
    agreement = {name: (c.iteration, 100 * c.agreement) for name, c in curves.items() if c.agreement is not None}
    titles = {
        "Task loss": {name: (c.iteration, c.task) for name, c in curves.items()},
        "Distillation term, weighted": distilled,
        "Agreement with the teacher, %": agreement,
    }
    titles = {title: lines for title, lines in titles.items() if lines}

    def paint(figure: Figure) -> None:
        panels = figure.subplots(1, len(titles), squeeze=False)[0]
        for axes, (title, lines) in zip(panels, titles.items(), strict=True):
            axes.set_title(title)
            axes.set_xlabel("iteration")
            for name, (iteration, values) in lines.items():
                _curve(axes, name, iteration, values, colors[name])
            if lines is not agreement:
                axes.set_yscale("log")
                log_ticks(axes.yaxis)
        panels[0].legend(fontsize=8)

    return draw((11.4 if agreement else 8.6, 3.7), paint)


def _curve(axes: Axes, name: str, x: np.ndarray, y: np.ndarray, color: str) -> None:
    """Logged values thin, their moving average thick; the teacher dashed."""
    window = max(1, len(y) // SMOOTHING_WINDOWS)
    smooth = np.convolve(y, np.ones(window) / window, mode="valid")
    axes.plot(x, y, color=color, lw=0.7, alpha=0.35)
    axes.plot(x[window - 1 :], smooth, color=color, lw=1.9, ls="--" if name == "teacher" else "-", label=name)
