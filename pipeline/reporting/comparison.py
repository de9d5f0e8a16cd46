"""The charts that compare networks. Each takes plain numbers; None where there is nothing to draw."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.reporting.charts import INK, MUTED, TEACHER_COLOR, Chart, draw, rows_from_top
from pipeline.reporting.wording import points


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


def pareto(spots: Sequence[Spot], teacher_miou: float) -> Chart | None:
    """Draw mIoU against latency, with the runs that no other run beats in both joined by a line."""
    if not spots:
        return None

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        front = pareto_front(spots)
        axes.plot([s.latency_ms for s in front], [100 * s.miou for s in front], color="#b8c4cf", lw=1.4, zorder=1)
        for spot in spots:
            fill = "white" if spot.is_baseline else spot.color
            axes.scatter(
                spot.latency_ms, 100 * spot.miou, s=90, c=fill, edgecolors=spot.color, linewidths=2.2, zorder=3
            )
            below = _has_one_just_above(spot, spots, teacher_miou)
            axes.annotate(
                spot.run, (spot.latency_ms, 100 * spot.miou), (0, -9 if below else 9), textcoords="offset points",
                ha="center", va="top" if below else "bottom", fontsize=8.5,
            )  # fmt: skip
        axes.axhline(100 * teacher_miou, color=TEACHER_COLOR, ls=(0, (5, 3)), lw=1.3)
        axes.annotate(
            f"teacher {100 * teacher_miou:.1f}", (0.005, 100 * teacher_miou), (0, 4),
            xycoords=("axes fraction", "data"), textcoords="offset points", fontsize=8.5, color=TEACHER_COLOR,
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


def _has_one_just_above(spot: Spot, spots: Sequence[Spot], teacher_miou: float) -> bool:
    """Whether a label over this spot would run into another spot's: then it goes below."""
    latencies = [other.latency_ms for other in spots]
    reach = 0.4 * max(max(latencies) - min(latencies), 0.1 * max(latencies))
    mious = [teacher_miou, *(other.miou for other in spots)]
    near = 0.15 * (max(mious) - min(mious))
    return any(
        other is not spot and abs(other.latency_ms - spot.latency_ms) < reach and 0 <= other.miou - spot.miou < near
        for other in spots
    )


def gain(bars: Sequence[Bar]) -> Chart | None:
    """Points of mIoU that each distilled run has more than its baseline; a loss points left and is hatched."""
    if not bars:
        return None

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        for row, bar in enumerate(bars):
            lost = bar.value < 0
            axes.barh(row, bar.value, 0.4, color="white" if lost else bar.color, edgecolor=bar.color, linewidth=1.5,
                      hatch="////" if lost else None)  # fmt: skip
            axes.annotate(points(bar.value), (bar.value, row), (-5 if lost else 5, 0), textcoords="offset points",
                          va="center", ha="right" if lost else "left", fontweight="bold")  # fmt: skip
        axes.axvline(0, color=INK, lw=1)
        axes.set_yticks(range(len(bars)), [bar.run for bar in bars])
        axes.set_xlabel("mIoU against the baseline, points")
        reach = 1.35 * max(0.5, *(abs(bar.value) for bar in bars))
        axes.set_xlim(-reach if any(bar.value < 0 for bar in bars) else -0.04 * reach, reach)
        axes.spines["left"].set_visible(False)
        rows_from_top(axes)

    return draw((6.2, max(4.2, 1.2 + 0.6 * len(bars))), paint)


def per_class(names: Sequence[str], groups: Mapping[str, Sequence[IoUSeries]]) -> Chart:
    """IoU per class: one panel for each group of networks that are compared with each other."""

    def paint(figure: Figure) -> None:
        panels = figure.subplots(len(groups), 1, squeeze=False)[:, 0]
        for axes, (title, series) in zip(panels, groups.items(), strict=True):
            _class_bars(axes, title, names, series)

    return draw((8.6, 3.3 * len(groups)), paint)


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
    axes.set_xticks(
        range(len(names)), names, rotation=35 if len(names) > 8 else 0, ha="right" if len(names) > 8 else "center"
    )
    axes.set_xlim(-0.6, len(names) - 0.4)
    axes.set_ylim(0, 100)
    axes.set_ylabel("IoU, %")
    axes.grid(visible=False, axis="x")
    axes.tick_params(axis="x", length=0)
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=len(series), fontsize=8.5, borderaxespad=0.2)
