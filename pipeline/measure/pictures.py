"""Pictures of one evaluation: the confusion matrix and IoU per class. Drawn with matplotlib, without a display."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from pipeline.data.classes import ClassTable
from pipeline.data.files import replacing


def save_confusion(counts: np.ndarray, names: Sequence[str], path: Path) -> None:
    """Rows are labels; each row is scaled to 1, so the diagonal is the recall of the class."""
    totals = counts.sum(axis=1, keepdims=True)
    share = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    figure = Figure(figsize=(1.5 + 0.55 * len(names), 1.2 + 0.5 * len(names)), layout="constrained")
    axes = figure.add_subplot()
    picture = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for row, column in zip(*np.nonzero(share >= 0.01), strict=True):
        value = share[row, column]
        axes.text(column, row, f"{100 * value:.0f}", ha="center", va="center", fontsize=8,
                  color="white" if value > 0.55 else "#1b2a41")  # fmt: skip
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("prediction")
    axes.set_ylabel("label")
    figure.colorbar(picture, shrink=0.8, label="share of the label's pixels")
    _save(figure, path)


def save_iou_bars(iou: np.ndarray, table: ClassTable, path: Path) -> None:
    """One bar for each class in the class's color; a class without labels says so."""
    figure = Figure(figsize=(7, 0.8 + 0.32 * len(table.classes)), layout="constrained")
    axes = figure.add_subplot()
    values = 100 * np.nan_to_num(iou)
    axes.barh(range(len(values)), values, color=[tuple(c / 255 for c in k.color) for k in table.classes])
    for row, value in enumerate(iou):
        text = "no label" if np.isnan(value) else f"{100 * value:.1f}"
        axes.text(values[row] + 0.8, row, text, va="center", fontsize=9)
    axes.set_yticks(range(len(values)), table.names)
    axes.invert_yaxis()
    axes.set_xlim(0, 108)
    axes.set_xlabel("IoU, %")
    axes.spines[["top", "right"]].set_visible(False)
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
