"""The one style of all charts: colors, fonts, and figures as the same bytes on every call."""

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

INK, MUTED, GRID = "#1c2733", "#5c6b7a", "#dfe5ea"
TEACHER_COLOR = "#3d4854"
SPLIT_COLORS = {"train": "#1b4f72", "val": "#5fa8d3", "test": "#e69f00", "unlabelled": "#a9b4be"}
FAMILY_HUES = ("#0072b2", "#d55e00", "#009e73", "#b5488a", "#a87900", "#3a9bd0")
"""After Okabe and Ito, distinguishable with any kind of color vision; two are darkened to be readable as text."""

DOTS_PER_INCH = 150
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so a chart is the same everywhere
    "font.size": 9.5,
    "text.color": INK,
    "axes.edgecolor": "#aeb9c3",
    "axes.labelcolor": MUTED,
    "axes.titlecolor": INK,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "svg.hashsalt": "segdistill",
}


class Chart(NamedTuple):
    """One figure in two formats."""

    svg: bytes  # for the page
    png: bytes  # for documents that link to a file


def draw(size_inches: tuple[float, float], paint: Callable[[Figure], None]) -> Chart:
    """Create a figure of (width, height) inches, let `paint` fill it, and encode it without dates or versions."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=size_inches, layout="constrained")
        paint(figure)
        svg = io.BytesIO()
        figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
        return Chart(svg.getvalue(), to_png(figure))


def to_png(figure: Figure) -> bytes:
    """Encode as PNG without the version of matplotlib."""
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
    return png.getvalue()


def rows_from_top(axes: Axes) -> None:
    """Set up horizontal bars: the first row on top, grid lines for the values only."""
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)


def log_ticks(axis: Axis) -> None:
    """Label a logarithmic axis with plain numbers, several for each decade."""
    axis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
    axis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.set_minor_formatter(NullFormatter())


def run_colors(families: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Give each run a color: a hue for each family, pale for its baseline, darker for each further distilled run.

    Args:
        families: baseline's name -> names of the runs compared with it, the baseline first.
    """
    colors: dict[str, str] = {}
    for index, names in enumerate(families.values()):
        hue = FAMILY_HUES[index % len(FAMILY_HUES)]
        colors[names[0]] = _mix(hue, "#ffffff", 0.5)
        for place, name in enumerate(names[1:]):
            colors[name] = _mix(hue, "#000000", 0.6 * place / len(names))
    return colors


def _mix(color: str, other: str, share: float) -> str:
    pairs = zip(to_rgb(color), to_rgb(other), strict=True)
    red, green, blue = ((1 - share) * a + share * b for a, b in pairs)
    return to_hex((red, green, blue))
