"""The chart of what int8 costs layer by layer."""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.reporting.charts import INK, MUTED, Chart, draw, rows_from_top

SHOWN = 8
"""The dearest layers of a run; the others cost next to nothing."""


class JudgedLayers(NamedTuple):
    """What quantizing each layer of a run alone costs."""

    lost_points: Sequence[tuple[str, float]]  # layer and points of mIoU, dearest first
    in_float: Collection[str]  # layers that stay in floating point in at least one file
    color: str


def layer_costs(runs: Mapping[str, JudgedLayers]) -> Chart | None:
    """Draw the dearest layers of each run whose layers were judged; those that stay in floating point are filled."""
    judged = {name: layers for name, layers in runs.items() if layers.lost_points}
    if not judged:
        return None

    def paint(figure: Figure) -> None:
        panels = figure.subplots(len(judged), 1, squeeze=False)[:, 0]
        for axes, (name, layers) in zip(panels, judged.items(), strict=True):
            axes.set_title(name)
            _bars(axes, layers)
        panels[-1].set_xlabel("mIoU lost if this layer alone is in int8, points")

    rows = sum(min(SHOWN, len(layers.lost_points)) for layers in judged.values())
    return draw((8.6, 0.5 + 0.45 * len(judged) + 0.24 * rows), paint)


def _bars(axes: Axes, layers: JudgedLayers) -> None:
    shown = layers.lost_points[:SHOWN]
    for row, (name, lost) in enumerate(shown):
        kept = name in layers.in_float
        axes.barh(row, lost, 0.6, color=layers.color if kept else "white", edgecolor=layers.color, linewidth=1.3)
        axes.annotate(
            f"{lost:.3f}" + (", kept in floating point" if kept else ""), (max(lost, 0.0), row), (5, 0),
            textcoords="offset points", va="center", fontsize=8, color=INK if kept else MUTED,
        )  # fmt: skip
    axes.axvline(0, color=INK, lw=1)
    axes.set_yticks(range(len(shown)), [name for name, _ in shown], fontsize=8)
    axes.margins(x=0.3)
    axes.spines["left"].set_visible(False)
    rows_from_top(axes)
