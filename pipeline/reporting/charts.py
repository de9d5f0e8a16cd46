"""The charts of the page: dataset, training, and results. A chart without data is None."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from matplotlib.axis import Axis
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from pipeline.data.samples import SPLITS
from pipeline.inspection.records import InspectedSample
from pipeline.records.artifacts import Quantization
from pipeline.records.curation import Statistics
from pipeline.records.evaluation import Evaluation
from pipeline.reporting.deployment import ParetoPoint, pareto_front
from pipeline.reporting.formatting import points
from pipeline.reporting.style import DPI, INK, MUTED, TEACHER_COLOR, Chart, canvas, in_style, rows_from_top
from pipeline.reporting.tables import Curve

SPLIT_COLORS = {"train": "#1b4f72", "val": "#5fa8d3", "test": "#e69f00", "unlabelled": "#a9b4be"}
SMOOTHING_WINDOWS = 25  # the thick line averages over 1/25 of a curve
MARKERS = {"fp32": "o", "fp16": "s", "int8": "D"}
LOG_FROM = 4  # latencies that differ by more than this factor get a logarithmic axis
LAYERS_SHOWN = 8  # the most expensive of a run; the others cost almost nothing


@in_style()
def class_balance(statistics: Statistics) -> Chart:
    """Draw the share of labelled pixels of each class, one bar for each split that has labels."""
    names = statistics.classes
    pixels = {split: np.array(entry.pixels) for split, entry in statistics.splits.items() if any(entry.pixels)}
    figure, (axes,) = canvas(6.4, 0.9 + 0.145 * len(names) * (1 + len(pixels)))
    height = 0.8 / len(pixels)
    for place, (split, of_classes) in enumerate(pixels.items()):
        rows = np.arange(len(names)) + (place - (len(pixels) - 1) / 2) * height
        percent = 100 * of_classes / of_classes.sum()
        axes.barh(rows, percent, 0.9 * height, color=SPLIT_COLORS[split], label=split)
        for row, value in zip(rows, percent, strict=True):
            text = f"{value:.1f}" if value >= 0.1 or value == 0 else f"{value:.2f}"
            axes.text(value + 0.3, row, text, va="center", fontsize=7, color=MUTED)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("share of labelled pixels, %")
    rows_from_top(axes)
    axes.legend(loc="lower right")
    return Chart(figure)


@in_style()
def confusion(shares: np.ndarray, names: Sequence[str]) -> Chart:
    """Draw a confusion matrix (k, k) as shares of each label's pixels; rows are labels, columns are predictions."""
    figure, (axes,) = canvas(1.5 + 0.5 * len(names), 1.1 + 0.4 * len(names))
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for row, column in zip(*np.nonzero(shares >= 0.01), strict=True):
        color = "white" if shares[row, column] > 0.55 else INK
        axes.text(column, row, f"{100 * shares[row, column]:.0f}", ha="center", va="center", fontsize=8, color=color)
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="prediction", ylabel="label")
    axes.set_title("share of the label's pixels, %")
    axes.grid(visible=False)
    return Chart(figure)


@in_style()
def sample_map(samples: Iterable[InspectedSample]) -> Chart:
    """Draw a dot for each sample at its position in feature space, colored by split; the axes have no unit."""
    positions: dict[str, list[tuple[float, float]]] = {}
    for sample in samples:
        if sample.position is not None:
            positions.setdefault(sample.split, []).append(sample.position)
    figure, (axes,) = canvas(8.6, 4.2)
    figure.set_dpi(DPI)  # of the dots, which the SVG too stores as pixels, because there may be thousands
    for split in sorted(positions, key=SPLITS.index):
        x, y = np.array(positions[split]).T
        axes.scatter(x, y, s=16, c=SPLIT_COLORS[split], alpha=0.75, linewidths=0, label=f"{split} ({len(x)})",
                     rasterized=True)  # fmt: skip
    axes.set_aspect("equal", "datalim")
    axes.set(xticks=[], yticks=[], xlabel="first component", ylabel="second component")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=max(1, len(positions)))
    return Chart(figure)


@in_style()
def training(curves: Mapping[str, Curve], colors: Mapping[str, str]) -> Chart:
    """Draw the task loss by iteration; for distilled runs also the distillation term and the agreement."""
    agreement = {name: (c.iteration, 100 * c.agreement) for name, c in curves.items() if c.agreement is not None}
    distilled = {name: (c.iteration, c.distill) for name, c in curves.items() if c.distill is not None}
    titles = {"Task loss": {name: (c.iteration, c.task) for name, c in curves.items()}}
    titles |= {"Distillation term, weighted": distilled} if distilled else {}
    titles |= {"Agreement with the teacher, %": agreement} if agreement else {}
    figure, panels = canvas(11.4 if agreement else 8.6, 3.7, columns=len(titles))
    for axes, (title, lines) in zip(panels, titles.items(), strict=True):
        axes.set_title(title)
        axes.set_xlabel("iteration")
        for name, (iteration, values) in lines.items():
            # Logged values thin, their moving average thick; the teacher dashed.
            window = max(1, len(values) // SMOOTHING_WINDOWS)
            smooth = np.convolve(values, np.ones(window) / window, mode="valid")
            dashes = "--" if name == "teacher" else "-"
            axes.plot(iteration, values, color=colors[name], lw=0.7, alpha=0.35)
            axes.plot(iteration[window - 1 :], smooth, color=colors[name], lw=1.9, ls=dashes, label=name)
        if lines is not agreement:
            axes.set_yscale("log")
            _log_ticks(axes.yaxis)
    panels[0].legend(fontsize=8)
    return Chart(figure)


@in_style()
def pareto(files: Sequence[ParetoPoint], teacher_miou: float, colors: Mapping[str, str]) -> Chart | None:
    """Draw mIoU against latency: a thin line joins a run's files, a thick one the front; rejected runs are pale."""
    if not files:
        return None
    runs = {file.run: file for file in files}
    figure, (axes,) = canvas(6.2, 4.2 + 0.22 * -(-len(runs) // 2))
    front = pareto_front(files)
    axes.plot([f.latency_ms for f in front], [100 * f.miou for f in front], color="#cdd7df", lw=6, zorder=1,
              solid_capstyle="round", solid_joinstyle="round")  # fmt: skip
    handles = []
    for name, run in runs.items():
        color, alpha = colors[name], 1.0 if run.released else 0.4
        of_run = [file for file in files if file.run == name]
        fill = "white" if run.is_baseline else color
        axes.plot([f.latency_ms for f in of_run], [100 * f.miou for f in of_run], color=color, lw=1.1, alpha=alpha,
                  zorder=2)  # fmt: skip
        for file in of_run:
            axes.scatter(file.latency_ms, 100 * file.miou, s=80, marker=MARKERS[file.precision], edgecolors=color,
                         c=fill, linewidths=2, alpha=alpha, zorder=3)  # fmt: skip
        handles.append(
            Line2D([], [], color=color, marker="o", markersize=8, markeredgewidth=2, ls="none", markerfacecolor=fill,
                   alpha=alpha, label=name if run.released else f"{name} (rejected)")
        )  # fmt: skip
    axes.axhline(100 * teacher_miou, color=TEACHER_COLOR, ls=(0, (5, 3)), lw=1.3)
    axes.annotate(
        f"teacher {100 * teacher_miou:.1f}", (0.005, 100 * teacher_miou), (0, 4),
        xycoords=("axes fraction", "data"), textcoords="offset points", fontsize=8.5, color=TEACHER_COLOR,
    )  # fmt: skip
    axes.margins(x=0.12, y=0.16)
    latencies = [file.latency_ms for file in files]
    if max(latencies) > LOG_FROM * min(latencies):
        axes.set_xscale("log")
        _log_ticks(axes.xaxis)
    axes.set_xlabel("latency p50, ms (image to labels, CPU)")
    axes.set_ylabel("mIoU, %")
    precisions = {file.precision for file in files}
    for precision, marker in MARKERS.items():
        if precision in precisions and len(precisions) > 1:
            handles.append(Line2D([], [], color=MUTED, marker=marker, markersize=7, ls="none", label=precision))
    figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=8.5)
    return Chart(figure)


@in_style()
def gain(gains: Mapping[str, float], colors: Mapping[str, str]) -> Chart | None:
    """Draw the gain of each distilled run over its baseline in points of mIoU; a loss points left and is hatched."""
    if not gains:
        return None
    figure, (axes,) = canvas(6.2, max(4.2, 1.2 + 0.6 * len(gains)))
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
    return Chart(figure)


@in_style()
def per_class(groups: Mapping[str, Sequence[Evaluation]], colors: Mapping[str, str]) -> Chart:
    """Draw the IoU of each class, one titled panel for each group of compared networks."""
    figure, panels = canvas(8.6, 3.3 * len(groups), rows=len(groups))
    for axes, (title, networks) in zip(panels, groups.items(), strict=True):
        names, width = list(networks[0].iou_per_class), 0.84 / len(networks)
        for place, network in enumerate(networks):
            columns = np.arange(len(names)) + (place - (len(networks) - 1) / 2) * width
            iou = np.array([np.nan if value is None else value for value in network.iou_per_class.values()])
            axes.bar(columns, 100 * iou, 0.92 * width, color=colors[network.name], label=network.name)
            for column in columns[np.isnan(iou)]:
                axes.text(column, 1, "n/a", rotation=90, ha="center", va="bottom", fontsize=7, color=MUTED)
        axes.set_title(title)
        slanted = len(names) > 8
        axes.set_xticks(range(len(names)), names, rotation=35 if slanted else 0, ha="right" if slanted else "center")
        axes.set_xlim(-0.6, len(names) - 0.4)
        axes.set_ylim(0, 100)
        axes.set_ylabel("IoU, %")
        axes.grid(visible=False, axis="x")
        axes.tick_params(axis="x", length=0)
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=len(networks), fontsize=8.5, borderaxespad=0.2)
    return Chart(figure)


@in_style()
def layer_costs(runs: Mapping[str, Quantization], colors: Mapping[str, str]) -> Chart | None:
    """Draw the mIoU lost by the most sensitive layers of each run; layers kept in floating point are filled."""
    measured = {name: quantization for name, quantization in runs.items() if quantization.layers}
    if not measured:
        return None
    rows = sum(min(LAYERS_SHOWN, len(quantization.layers)) for quantization in measured.values())
    figure, panels = canvas(8.6, 0.5 + 0.45 * len(measured) + 0.24 * rows, rows=len(measured))
    for axes, (name, quantization) in zip(panels, measured.items(), strict=True):
        shown, color = quantization.layers[:LAYERS_SHOWN], colors[name]
        in_float = {layer for choice in quantization.choices.values() for layer in choice.float_layers}
        for row, layer in enumerate(shown):
            kept = layer.name in in_float
            axes.barh(row, layer.lost_points, 0.6, color=color if kept else "white", edgecolor=color, linewidth=1.3)
            axes.annotate(
                f"{layer.lost_points:.3f}" + (", kept in floating point" if kept else ""),
                (max(layer.lost_points, 0), row), (5, 0), textcoords="offset points", va="center", fontsize=8,
                color=INK if kept else MUTED,
            )  # fmt: skip
        axes.set_title(name)
        axes.axvline(0, color=INK, lw=1)
        axes.set_yticks(range(len(shown)), [layer.name for layer in shown], fontsize=8)
        axes.margins(x=0.3)
        axes.spines["left"].set_visible(False)
        rows_from_top(axes)
    panels[-1].set_xlabel("mIoU lost if this layer alone is in int8, points")
    return Chart(figure)


def _log_ticks(axis: Axis) -> None:
    """Label a logarithmic axis with plain numbers, several for each decade."""
    axis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
    axis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.set_minor_formatter(NullFormatter())
