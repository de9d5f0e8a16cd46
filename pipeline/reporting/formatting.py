"""Format numbers and names for people, in Python and in templates."""

import math
from collections.abc import Iterable
from pathlib import Path

import jinja2

from pipeline.params.runs import RunParams
from segdistill_runtime.targets import TARGETS
from segdistill_runtime.targets.target import load_target

MINUS = "\N{MINUS SIGN}"
THIN_SPACE = "\N{NARROW NO-BREAK SPACE}"
NOT_AVAILABLE = "n/a"


def percent(share: float | None, digits: int = 1) -> str:
    """Format a share: 0.631 -> 63.1 %."""
    return NOT_AVAILABLE if share is None else f"{100 * share:.{digits}f}{THIN_SPACE}%"


def agreement(share: float | None) -> str:
    """Format a share, rounded down so that 100 % means every pixel: 0.999996 -> 99.999 %."""
    return NOT_AVAILABLE if share is None else f"{math.floor(round(1e5 * share, 6)) / 1e3:.3f}{THIN_SPACE}%"


def points(difference: float | None) -> str:
    """Format a difference in points of 100 with its sign; a rounded zero has no sign."""
    if difference is None:
        return "\N{EM DASH}"
    rounded = round(difference, 1) + 0.0
    return f"{rounded:+.1f}".replace("-", MINUS) if rounded else "0.0"


def number(value: float | None, digits: int = 2) -> str:
    """Format a number with fixed digits; a rounded zero has no sign."""
    return NOT_AVAILABLE if value is None else f"{round(value, digits) + 0.0:.{digits}f}".replace("-", MINUS)


def scientific(value: float) -> str:
    """Format in scientific notation with superscripts: 0.000031 -> 3.1 x 10 to the -5."""
    mantissa, exponent = f"{value:.1e}".split("e")
    raised = str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{mantissa}{THIN_SPACE}\N{MULTIPLICATION SIGN}{THIN_SPACE}10{raised}"


def count(value: int | None) -> str:
    """Format an integer with narrow spaces: 12345 -> 12 345."""
    return NOT_AVAILABLE if value is None else f"{value:,}".replace(",", THIN_SPACE)


def counted(value: int, noun: str) -> str:
    """Format a count with its noun: 3, sample -> 3 samples."""
    return f"{count(value)} {noun}" + ("" if value == 1 else "s")


def millions(value: int) -> str:
    """Format in millions: 11 900 000 -> 11.90 M."""
    return f"{value / 1e6:.2f}{THIN_SPACE}M"


def mebibytes(size: int) -> str:
    return f"{size / 2**20:.1f}{THIN_SPACE}MiB"


def milliseconds(value: float | None) -> str:
    return NOT_AVAILABLE if value is None else f"{value:.{1 if value >= 10 else 2}f}{THIN_SPACE}ms"


def network(run: RunParams) -> str:
    """Describe how a student differs from others of its architecture: stride, image size, pruned channels."""
    words = [f"stride {run.network.output_stride}"]
    if run.network.input_scale < 1:
        words.append(f"image \N{MULTIPLICATION SIGN} {run.network.input_scale:g}")
    if run.prune.prunes:
        words.append(f"{percent(run.prune.keep, 0)} of the channels of {run.prune.source.removeprefix('students/')}")
    return ", ".join(words)


def times(factor: float | None) -> str:
    """Format a factor with a multiplication sign: 3.451 -> 3.45 x."""
    return "\N{EM DASH}" if factor is None else f"{factor:.2f}{THIN_SPACE}\N{MULTIPLICATION SIGN}"


def runtime(name: str) -> str:
    """Return the label of a runtime; an unknown one keeps its name from the records."""
    return load_target(name).label if name in TARGETS else name.replace("pytorch_", "PyTorch ")


def listed(names: Iterable[str]) -> str:
    """Join names: a, b and c."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


FILTERS = (
    percent, agreement, points, number, scientific, count, counted, millions, mebibytes, milliseconds, times, listed,
    runtime, network,
)  # fmt: skip


def template_environment(folder: Path, autoescape: bool) -> jinja2.Environment:
    """Return an environment for a folder's templates: the formats above are filters, an unknown name is an error."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder), autoescape=autoescape, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters |= {format.__name__: format for format in FILTERS}
    return environment
