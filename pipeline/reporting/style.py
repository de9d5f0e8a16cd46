"""The style of all charts: colors, fonts, and figures whose bytes are equal on every call."""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import cycle
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure

INK, MUTED = "#1c2733", "#5c6b7a"
TEACHER_COLOR = "#3d4854"
FAMILY_HUES = ("#0072b2", "#d55e00", "#009e73", "#b5488a", "#a87900", "#3a9bd0")
"""After Okabe and Ito, distinguishable with any kind of color vision; two are darkened to be readable as text."""

DPI = 150
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so a chart is the same everywhere
    "font.size": 9.5,
    **dict.fromkeys(("text.color", "axes.titlecolor", "xtick.labelcolor", "ytick.labelcolor"), INK),
    **dict.fromkeys(("axes.labelcolor", "xtick.color", "ytick.color"), MUTED),
    "axes.edgecolor": "#aeb9c3",
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    **dict.fromkeys(("axes.grid", "axes.axisbelow"), True),
    "grid.color": "#dfe5ea",
    "grid.linewidth": 0.8,
    **dict.fromkeys(("axes.spines.top", "axes.spines.right", "legend.frameon"), False),
    "svg.hashsalt": "segdistill",
}


@contextmanager
def in_style() -> Iterator[None]:
    """Apply the style above to matplotlib, in a block or as a decorator."""
    with matplotlib.rc_context(STYLE):
        yield


def canvas(width: float, height: float, rows: int = 1, columns: int = 1, **options: Any) -> tuple[Figure, list[Axes]]:
    """Create a figure, in inches, with the axes of its panels row by row; `options` are those of `subplots`."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, list(figure.subplots(rows, columns, squeeze=False, **options).flat)


class Chart:
    """One figure. Each format is encoded on first use, without dates or versions."""

    def __init__(self, figure: Figure):
        self.figure = figure

    @cached_property
    def svg(self) -> bytes:
        """The bytes for the page."""
        file = io.BytesIO()
        with in_style():
            without = dict.fromkeys(("Date", "Creator", "Format", "Type"))
            self.figure.savefig(file, format="svg", metadata=without)
        return file.getvalue()

    @cached_property
    def png(self) -> bytes:
        """The bytes for documents that link to a file."""
        with in_style():
            return to_png(self.figure)


def to_png(figure: Figure) -> bytes:
    """Encode as PNG without the version of matplotlib."""
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=DPI, metadata={"Software": None})
    return png.getvalue()


def rows_from_top(axes: Axes) -> None:
    """Set up horizontal bars: the first row on top, grid lines for the values only."""
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)


def run_colors(families: Sequence[Sequence[str]]) -> dict[str, str]:
    """Give each run a color: one hue for each family, pale for its baseline, darker for each further run."""
    colors: dict[str, str] = {}
    for (baseline, *distilled), color in zip(families, cycle(FAMILY_HUES), strict=False):
        hue = np.array(to_rgb(color))
        colors[baseline] = to_hex((hue + 1) / 2)  # type: ignore[reportArgumentType]: of three numbers
        for place, name in enumerate(distilled):
            darker = hue * (1 - 0.6 * place / (1 + len(distilled)))
            colors[name] = to_hex(darker)  # type: ignore[reportArgumentType]: as above
    return colors
