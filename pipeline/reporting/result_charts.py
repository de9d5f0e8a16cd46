"""Charts that compare networks. Each takes plain numbers and returns None if there is nothing to draw."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pipeline.records.artifacts import Quantization
from pipeline.reporting.deployment import ParetoPoint, pareto_front
from pipeline.reporting.formatting import points
from pipeline.reporting.style import INK, MUTED, TEACHER_COLOR, Chart, draw, log_ticks, rows_from_top

MARKERS = {"fp32": "o", "fp16": "s", "int8": "D"}
LEGEND_COLUMNS = 2
PALE = 0.4
LOG_FROM = 4
"""Latencies that differ by more than this factor get a logarithmic axis."""
LAYERS_SHOWN = 8
"""Most expensive layers of a run; the others cost almost nothing."""


def pareto(files: Sequence[ParetoPoint], teacher_miou: float, colors: Mapping[str, str]) -> Chart | None:
    """Draw mIoU against latency. A thin line joins the files of a run, a thick one the Pareto front.

    Rejected runs are pale and never part of the front.
    """
    if not files:
        return None
    runs = {file.run: file for file in files}
    latencies = [file.latency_ms for file in files]

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        front = pareto_front(files)
        axes.plot([f.latency_ms for f in front], [100 * f.miou for f in front], color="#cdd7df", lw=6, zorder=1,
                  solid_capstyle="round", solid_joinstyle="round")  # fmt: skip
        for run in runs:
            _files_of_a_run(axes, [file for file in files if file.run == run], colors[run])
        axes.axhline(100 * teacher_miou, color=TEACHER_COLOR, ls=(0, (5, 3)), lw=1.3)
        axes.annotate(
            f"teacher {100 * teacher_miou:.1f}", (0.005, 100 * teacher_miou), (0, 4),
            xycoords=("axes fraction", "data"), textcoords="offset points", fontsize=8.5, color=TEACHER_COLOR,
        )  # fmt: skip
        axes.margins(x=0.12, y=0.16)
        if max(latencies) > LOG_FROM * min(latencies):
            axes.set_xscale("log")
            log_ticks(axes.xaxis)
        axes.set_xlabel("latency p50, ms (image to labels, CPU)")
        axes.set_ylabel("mIoU, %")
        handles = _legend(runs.values(), files, colors)
        figure.legend(handles=handles, loc="outside lower center", ncols=LEGEND_COLUMNS, fontsize=8.5)

    return draw((6.2, 4.2 + 0.22 * -(-len(runs) // LEGEND_COLUMNS)), paint)


def _files_of_a_run(axes: Axes, files: Sequence[ParetoPoint], color: str) -> None:
    alpha = 1.0 if files[0].released else PALE
    axes.plot([f.latency_ms for f in files], [100 * f.miou for f in files], color=color, lw=1.1, alpha=alpha, zorder=2)
    for file in files:
        axes.scatter(file.latency_ms, 100 * file.miou, s=80, marker=MARKERS[file.precision], edgecolors=color,
                     c="white" if file.is_baseline else color, linewidths=2, alpha=alpha, zorder=3)  # fmt: skip


def _legend(runs: Iterable[ParetoPoint], files: Sequence[ParetoPoint], colors: Mapping[str, str]) -> list[Line2D]:
    """A color for each run, then a marker for each precision if there are several."""
    handles = [
        Line2D([], [], color=colors[run.run], marker="o", markersize=8, markeredgewidth=2, ls="none",
               markerfacecolor="white" if run.is_baseline else colors[run.run], alpha=1.0 if run.released else PALE,
               label=run.run if run.released else f"{run.run} (rejected)")
        for run in runs
    ]  # fmt: skip
    precisions = [precision for precision in MARKERS if any(file.precision == precision for file in files)]
    if len(precisions) > 1:
        handles += [
            Line2D([], [], color=MUTED, marker=MARKERS[p], markersize=7, ls="none", label=p) for p in precisions
        ]
    return handles


def gain(gains: Mapping[str, float], colors: Mapping[str, str]) -> Chart | None:
    """Draw the gain of each distilled run over its baseline in points of mIoU; a loss points left and is hatched."""
    if not gains:
        return None

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        for row, (run, value) in enumerate(gains.items()):
            lost = value < 0
            axes.barh(row, value, 0.4, color="white" if lost else colors[run], edgecolor=colors[run], linewidth=1.5,
                      hatch="////" if lost else None)  # fmt: skip
            axes.annotate(points(value), (value, row), (-5 if lost else 5, 0), textcoords="offset points",
                          va="center", ha="right" if lost else "left", fontweight="bold")  # fmt: skip
        axes.axvline(0, color=INK, lw=1)
        axes.set_yticks(range(len(gains)), list(gains))
        axes.set_xlabel("mIoU against the baseline, points")
        reach = 1.35 * max(0.5, *(abs(value) for value in gains.values()))
        axes.set_xlim(-reach if min(gains.values()) < 0 else -0.04 * reach, reach)
        axes.spines["left"].set_visible(False)
        rows_from_top(axes)

    return draw((6.2, max(4.2, 1.2 + 0.6 * len(gains))), paint)


def per_class(
    names: Sequence[str], groups: Mapping[str, Mapping[str, Sequence[float | None]]], colors: Mapping[str, str]
) -> Chart:
    """Draw IoU per class, one panel for each group of networks that are compared with each other.

    Args:
        groups: title -> network -> IoU of each class, 0..1; None for a class that does not occur.
    """

    def paint(figure: Figure) -> None:
        panels = figure.subplots(len(groups), 1, squeeze=False)[:, 0]
        for axes, (title, networks) in zip(panels, groups.items(), strict=True):
            axes.set_title(title)
            _class_bars(axes, names, networks, colors)

    return draw((8.6, 3.3 * len(groups)), paint)


def _class_bars(
    axes: Axes, names: Sequence[str], networks: Mapping[str, Sequence[float | None]], colors: Mapping[str, str]
) -> None:
    width = 0.84 / len(networks)
    for place, (network, values) in enumerate(networks.items()):
        columns = np.arange(len(names)) + (place - (len(networks) - 1) / 2) * width
        heights = [np.nan if value is None else 100 * value for value in values]
        axes.bar(columns, heights, 0.92 * width, color=colors[network], label=network)
        for column, value in zip(columns, values, strict=True):
            if value is None:
                axes.text(column, 1, "n/a", rotation=90, ha="center", va="bottom", fontsize=7, color=MUTED)
    slanted = len(names) > 8
    axes.set_xticks(range(len(names)), names, rotation=35 if slanted else 0, ha="right" if slanted else "center")
    axes.set_xlim(-0.6, len(names) - 0.4)
    axes.set_ylim(0, 100)
    axes.set_ylabel("IoU, %")
    axes.grid(visible=False, axis="x")
    axes.tick_params(axis="x", length=0)
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=len(networks), fontsize=8.5, borderaxespad=0.2)


def layer_costs(runs: Mapping[str, Quantization], colors: Mapping[str, str]) -> Chart | None:
    """Draw the mIoU lost by the most sensitive layers of each run; layers kept in floating point are filled."""
    measured = {name: quantization for name, quantization in runs.items() if quantization.layers}
    if not measured:
        return None

    def paint(figure: Figure) -> None:
        panels = figure.subplots(len(measured), 1, squeeze=False)[:, 0]
        for axes, (name, quantization) in zip(panels, measured.items(), strict=True):
            axes.set_title(name)
            _layer_bars(axes, quantization, colors[name])
        panels[-1].set_xlabel("mIoU lost if this layer alone is in int8, points")

    rows = sum(min(LAYERS_SHOWN, len(quantization.layers)) for quantization in measured.values())
    return draw((8.6, 0.5 + 0.45 * len(measured) + 0.24 * rows), paint)


def _layer_bars(axes: Axes, quantization: Quantization, color: str) -> None:
    shown = quantization.layers[:LAYERS_SHOWN]
    in_float = {name for choice in quantization.choices.values() for name in choice.float_layers}
    for row, layer in enumerate(shown):
        kept = layer.name in in_float
        axes.barh(row, layer.lost_points, 0.6, color=color if kept else "white", edgecolor=color, linewidth=1.3)
        axes.annotate(
            f"{layer.lost_points:.3f}" + (", kept in floating point" if kept else ""), (max(layer.lost_points, 0), row),
            (5, 0), textcoords="offset points", va="center", fontsize=8, color=INK if kept else MUTED,
        )  # fmt: skip
    axes.axvline(0, color=INK, lw=1)
    axes.set_yticks(range(len(shown)), [layer.name for layer in shown], fontsize=8)
    axes.margins(x=0.3)
    axes.spines["left"].set_visible(False)
    rows_from_top(axes)
