"""The charts that compare networks. Each takes plain numbers; None where there is nothing to draw."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from pipeline.reporting.charts import INK, MUTED, TEACHER_COLOR, Chart, draw, rows_from_top
from pipeline.reporting.wording import points

MARKERS = {"fp32": "o", "fp16": "s", "int8": "D"}
LEGEND_COLUMNS = 2
PALE = 0.4
LOG_FROM = 4
"""Latencies that differ by more than this factor need a logarithmic axis."""


class Bar(NamedTuple):
    """A run's value in a chart."""

    run: str
    value: float
    color: str


class Spot(NamedTuple):
    """A file of a run in the plane of speed and quality."""

    run: str
    precision: str
    latency_ms: float
    miou: float  # 0..1
    color: str
    is_baseline: bool
    released: bool


class IoUSeries(NamedTuple):
    """IoU per class of one network, 0..1; None where the class does not occur."""

    name: str
    values: Sequence[float | None]
    color: str


def pareto(spots: Sequence[Spot], teacher_miou: float) -> Chart | None:
    """Draw mIoU against latency. A thin line joins the files of a run, a thick one those that no other file beats.

    What was not released is pale, and no rival of the others.
    """
    if not spots:
        return None
    runs = {spot.run: spot for spot in spots}
    rows = -(-len(runs) // LEGEND_COLUMNS)

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        front = pareto_front(spots)
        axes.plot([s.latency_ms for s in front], [100 * s.miou for s in front], color="#cdd7df", lw=6, zorder=1,
                  solid_capstyle="round", solid_joinstyle="round")  # fmt: skip
        for run in runs:
            _files_of_a_run(axes, [spot for spot in spots if spot.run == run])
        axes.axhline(100 * teacher_miou, color=TEACHER_COLOR, ls=(0, (5, 3)), lw=1.3)
        axes.annotate(
            f"teacher {100 * teacher_miou:.1f}", (0.005, 100 * teacher_miou), (0, 4),
            xycoords=("axes fraction", "data"), textcoords="offset points", fontsize=8.5, color=TEACHER_COLOR,
        )  # fmt: skip
        axes.margins(x=0.12, y=0.16)
        latencies = [spot.latency_ms for spot in spots]
        if max(latencies) > LOG_FROM * min(latencies):
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
            axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel("latency p50, ms (image to labels, CPU)")
        axes.set_ylabel("mIoU, %")
        figure.legend(handles=_legend(runs.values(), spots), loc="outside lower center", ncols=LEGEND_COLUMNS,
                      fontsize=8.5)  # fmt: skip

    return draw((6.2, 4.2 + 0.22 * rows), paint)


def _files_of_a_run(axes: Axes, spots: Sequence[Spot]) -> None:
    """One marker for each precision, joined by a thin line."""
    strength = 1.0 if spots[0].released else PALE
    axes.plot([s.latency_ms for s in spots], [100 * s.miou for s in spots], color=spots[0].color, lw=1.1,
              alpha=strength, zorder=2)  # fmt: skip
    for spot in spots:
        fill = "white" if spot.is_baseline else spot.color
        axes.scatter(spot.latency_ms, 100 * spot.miou, s=80, marker=MARKERS[spot.precision], c=fill,
                     edgecolors=spot.color, linewidths=2, alpha=strength, zorder=3)  # fmt: skip


def _legend(runs: Iterable[Spot], spots: Sequence[Spot]) -> list[Line2D]:
    """A color for each run, then a marker for each precision where there are several."""
    handles = [
        Line2D(
            [], [], color=run.color, marker="o", markersize=8, markeredgewidth=2, ls="none",
            markerfacecolor="white" if run.is_baseline else run.color, alpha=1.0 if run.released else PALE,
            label=run.run if run.released else f"{run.run} (rejected)",
        )
        for run in runs
    ]  # fmt: skip
    precisions = [precision for precision in MARKERS if any(spot.precision == precision for spot in spots)]
    handles += [
        Line2D([], [], color=MUTED, marker=MARKERS[precision], markersize=7, ls="none", label=precision)
        for precision in precisions
        if len(precisions) > 1
    ]
    return handles


def pareto_front(spots: Sequence[Spot]) -> list[Spot]:
    """Released files that no other one matches in latency and beats in mIoU (or the reverse), fastest first."""
    front: list[Spot] = []
    for spot in sorted((s for s in spots if s.released), key=lambda s: (s.latency_ms, -s.miou)):
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
