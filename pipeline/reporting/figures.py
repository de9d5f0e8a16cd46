"""The charts of the page. Each takes plain numbers and returns a Chart, or None where there is nothing to draw."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.reporting.charts import INK, MUTED, SPLIT_COLORS, TEACHER_COLOR, Chart, draw
from pipeline.reporting.tables import Curve
from pipeline.reporting.wording import points

SMOOTHING_WINDOWS = 25  # the thick line averages over one part in so many of a curve


class Bar(NamedTuple):
    """A run's value in a chart."""

    run: str
    value: float
    color: str


class Spot(NamedTuple):
    """A run in the plane of speed and quality."""

    run: str
    latency_ms: float
    miou: float  # 0..1
    color: str
    is_baseline: bool


class IoUSeries(NamedTuple):
    """IoU per class of one network, 0..1; None where the class does not occur."""

    name: str
    values: Sequence[float | None]
    color: str


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
        _rows_from_top(axes)
        axes.legend(loc="lower right")

    return draw((8.4, 0.9 + 0.15 * len(names) * (1 + len(shares))), paint)


def training(curves: Mapping[str, Curve], colors: Mapping[str, str]) -> Chart:
    """Loss against iteration: on the labels for all, and the distillation term where there is one."""
    distilled = {name: curve for name, curve in curves.items() if curve.distill is not None}

    def paint(figure: Figure) -> None:
        panels = list(figure.subplots(1, 2 if distilled else 1, squeeze=False, width_ratios=[3, 2] if distilled else [1])[0])
        panels[0].set_title("Task loss")
        for name, curve in curves.items():
            _curve(panels[0], name, curve.iteration, curve.task, colors[name], dashed=name == "teacher")
        panels[0].legend(fontsize=8.5)
        if distilled:
            panels[1].set_title("Distillation term, weighted")
        for name, curve in distilled.items():
            assert curve.distill is not None
            _curve(panels[1], name, curve.iteration, curve.distill, colors[name], dashed=False)
        for axes in panels:
            axes.set_xlabel("iteration")
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
            axes.yaxis.set_minor_formatter(lambda value, _: f"{value:g}" if str(f"{value:e}")[0] in "25" else "")

    return draw((9.4, 3.9), paint)


def pareto(spots: Sequence[Spot], teacher_miou: float) -> Chart | None:
    """mIoU against latency, with the runs that no other run beats in both joined by a line."""
    if not spots:
        return None

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        front = pareto_front(spots)
        axes.plot([s.latency_ms for s in front], [100 * s.miou for s in front], color="#b8c4cf", lw=1.4, zorder=1)
        for spot in spots:
            fill = "white" if spot.is_baseline else spot.color
            axes.scatter(spot.latency_ms, 100 * spot.miou, s=90, c=fill, edgecolors=spot.color, linewidths=2.2, zorder=3)
            axes.annotate(
                spot.run, (spot.latency_ms, 100 * spot.miou), (0, 9), textcoords="offset points", ha="center", fontsize=8.5
            )
        axes.axhline(100 * teacher_miou, color=TEACHER_COLOR, ls=(0, (5, 3)), lw=1.3)
        axes.annotate(
            f"teacher {100 * teacher_miou:.1f}", (0.005, 100 * teacher_miou), (0, 4), xycoords=("axes fraction", "data"),
            textcoords="offset points", fontsize=8.5, color=TEACHER_COLOR,
        )  # fmt: skip
        axes.margins(x=0.28, y=0.16)
        axes.set_xlabel("latency p50, ms (image to labels, ONNX Runtime)")
        axes.set_ylabel("mIoU, %")

    return draw((6.2, 4.2), paint)


def pareto_front(spots: Sequence[Spot]) -> list[Spot]:
    """Runs that no other run matches in latency and beats in mIoU (or the reverse), fastest first."""
    front: list[Spot] = []
    for spot in sorted(spots, key=lambda s: (s.latency_ms, -s.miou)):
        if not front or spot.miou > front[-1].miou:
            front.append(spot)
    return front


def gain(bars: Sequence[Bar]) -> Chart | None:
    """Points of mIoU that each distilled run has more than its baseline; a loss points left and is hatched."""
    if not bars:
        return None

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        for row, bar in enumerate(bars):
            lost = bar.value < 0
            axes.barh(row, bar.value, 0.55, color="white" if lost else bar.color, edgecolor=bar.color, linewidth=1.5,
                      hatch="////" if lost else None)  # fmt: skip
            axes.annotate(points(bar.value), (bar.value, row), (-5 if lost else 5, 0), textcoords="offset points",
                          va="center", ha="right" if lost else "left", fontweight="bold")  # fmt: skip
        axes.axvline(0, color=INK, lw=1)
        axes.set_yticks(range(len(bars)), [bar.run for bar in bars])
        axes.set_xlabel("mIoU against the baseline, points")
        reach = 1.35 * max(0.5, *(abs(bar.value) for bar in bars))
        axes.set_xlim(-reach if any(bar.value < 0 for bar in bars) else -0.04 * reach, reach)
        axes.spines["left"].set_visible(False)
        _rows_from_top(axes)

    return draw((6.2, 1.2 + 0.6 * len(bars)), paint)


def per_class(names: Sequence[str], groups: Mapping[str, Sequence[IoUSeries]]) -> Chart:
    """IoU per class: one panel for each group of networks that are compared with each other."""

    def paint(figure: Figure) -> None:
        panels = figure.subplots(len(groups), 1, squeeze=False)[:, 0]
        for axes, (title, series) in zip(panels, groups.items(), strict=True):
            _class_bars(axes, title, names, series)

    return draw((9.4, 3.5 * len(groups)), paint)


def _class_bars(axes: Axes, title: str, names: Sequence[str], series: Sequence[IoUSeries]) -> None:
    width = 0.84 / len(series)
    for place, entry in enumerate(series):
        columns = np.arange(len(names)) + (place - (len(series) - 1) / 2) * width
        heights = [np.nan if value is None else 100 * value for value in entry.values]
        axes.bar(columns, heights, 0.92 * width, color=entry.color, label=entry.name)
        for column, value in zip(columns, entry.values, strict=True):
            if value is None:
                axes.text(column, 1, "n/a", rotation=90, ha="center", va="bottom", fontsize=7, color=MUTED)
    axes.set_title(title)
    axes.set_xticks(range(len(names)), names, rotation=35 if len(names) > 8 else 0, ha="right" if len(names) > 8 else "center")
    axes.set_ylim(0, 100)
    axes.set_ylabel("IoU, %")
    axes.grid(visible=False, axis="x")
    axes.tick_params(axis="x", length=0)
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=len(series), fontsize=8.5, borderaxespad=0.2)


def _curve(axes: Axes, name: str, x: np.ndarray, y: np.ndarray, color: str, dashed: bool) -> None:
    """The logged values thin, their moving average thick."""
    window = max(1, len(y) // SMOOTHING_WINDOWS)
    smooth = np.convolve(y, np.ones(window) / window, mode="valid")
    axes.plot(x, y, color=color, lw=0.7, alpha=0.35)
    axes.plot(x[window - 1 :], smooth, color=color, lw=1.9, ls="--" if dashed else "-", label=name)


def _rows_from_top(axes: Axes) -> None:
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)


def _short(value: float) -> str:
    return f"{value:.1f}" if value >= 0.1 or value == 0 else f"{value:.2f}"
