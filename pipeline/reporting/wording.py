"""Numbers and findings in words, for people: what a result says, and what it does not."""

import math
from collections.abc import Iterable
from dataclasses import replace

from pipeline.params.runs import RunParams
from pipeline.reporting.material import Material
from pipeline.reporting.summary import RunSummary, Summary

MINUS = "\N{MINUS SIGN}"
THIN_SPACE = "\N{NARROW NO-BREAK SPACE}"
NOT_AVAILABLE = "n/a"
RUNTIMES = {
    "pytorch_eager": "PyTorch eager",
    "pytorch_compiled": "PyTorch compiled",
    "onnxruntime": "ONNX Runtime",
    "onnxruntime_cuda": "ONNX Runtime CUDA",
    "openvino": "OpenVINO",
    "tensorrt": "TensorRT",
    "tensorrt_rtx": "TensorRT for RTX",
}
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def percent(share: float | None, digits: int = 1) -> str:
    """0.631 -> 63.1 %."""
    return NOT_AVAILABLE if share is None else f"{100 * share:.{digits}f}{THIN_SPACE}%"


def agreement(share: float | None) -> str:
    """0.999996 -> 99.999 %: rounded down, so that 100 % means every pixel."""
    return NOT_AVAILABLE if share is None else f"{math.floor(round(1e5 * share, 6)) / 1e3:.3f}{THIN_SPACE}%"


def points(difference: float | None) -> str:
    """Signed points of 100; the sign of a rounded zero is dropped."""
    if difference is None:
        return "\N{EM DASH}"
    rounded = round(difference, 1) + 0.0
    return f"{rounded:+.1f}".replace("-", MINUS) if rounded else "0.0"


def number(value: float | None, digits: int = 2) -> str:
    """A fixed number of digits; the sign of a rounded zero is dropped."""
    return NOT_AVAILABLE if value is None else f"{round(value, digits) + 0.0:.{digits}f}".replace("-", MINUS)


def scientific(value: float) -> str:
    """0.000031 -> 3.1 x 10 to the -5, with real superscripts."""
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa}{THIN_SPACE}\N{MULTIPLICATION SIGN}{THIN_SPACE}10{str(int(exponent)).translate(SUPERSCRIPTS)}"


def count(value: int | None) -> str:
    """12345 -> 12 345, with narrow spaces."""
    return NOT_AVAILABLE if value is None else f"{value:,}".replace(",", THIN_SPACE)


def counted(value: int, noun: str) -> str:
    """3, sample -> 3 samples."""
    return f"{count(value)} {noun}" + ("" if value == 1 else "s")


def millions(value: int) -> str:
    """11 900 000 -> 11.90 M."""
    return f"{value / 1e6:.2f}{THIN_SPACE}M"


def mebibytes(size: int) -> str:
    return f"{size / 2**20:.1f}{THIN_SPACE}MiB"


def milliseconds(value: float | None) -> str:
    return NOT_AVAILABLE if value is None else f"{value:.{1 if value >= 10 else 2}f}{THIN_SPACE}ms"


def network(run: RunParams) -> str:
    """What makes a student smaller than its architecture: stride, image, channels."""
    said = [f"stride {run.network.output_stride}"]
    if run.network.input_scale < 1:
        said.append(f"image \N{MULTIPLICATION SIGN} {run.network.input_scale:g}")
    if run.prune.prunes:
        said.append(f"{percent(run.prune.keep, 0)} of the channels of {run.prune.source.removeprefix('students/')}")
    return ", ".join(said)


def times(factor: float | None) -> str:
    """3.451 -> 3.45 times, as a sign."""
    return "\N{EM DASH}" if factor is None else f"{factor:.2f}{THIN_SPACE}\N{MULTIPLICATION SIGN}"


def runtime(name: str) -> str:
    """The name that people know; a new runtime keeps the one of the records."""
    return RUNTIMES.get(name, name)


def listed(names: Iterable[str]) -> str:
    """a, b and c."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def gain_in_words(run: RunSummary) -> str:
    """What distillation did to one run, against its baseline; a loss is called a loss."""
    if run.gain_points is None:
        return "a student trained without a teacher"
    rounded = round(run.gain_points, 1)
    if rounded == 0:
        return "no difference to the same student trained without a teacher"
    kind = "a gain" if rounded > 0 else "a loss"
    return f"{kind} of {abs(rounded):.1f} points against the same student trained without a teacher"


def headline(summary: Summary) -> str:
    """One sentence about the best student."""
    best = summary.best
    opening = f"{best.run} reaches {percent(best.miou)} mIoU"
    distilled = [run for run in summary.runs if run.gain_points is not None]
    if best.gain_points is not None:
        return f"{opening}: {gain_in_words(best)}."
    if not distilled:
        return f"{opening}: {gain_in_words(best)}. No run of this profile is distilled."
    nearest = max(distilled, key=lambda run: run.miou)
    return (
        f"{opening}: {gain_in_words(best)} is the best one here. The best distilled run, {nearest.run}, has "
        f"{percent(nearest.miou)}: {gain_in_words(nearest)}."
    )


def seeds_in_words(run: RunSummary, summary: Summary, material: Material) -> str:
    """How far the result of a run can be trusted, from the seeds that its recipe was trained with."""
    recipes = {name: replace(other.params, seed=0, baseline="") for name, other in material.runs.items()}
    alike = [other for other in summary.runs if recipes[other.run] == recipes[run.run]]
    if len({other.seed for other in alike}) == 1:
        return "One seed: not a verdict on the method."
    gains = [other.gain_points for other in alike if other.gain_points is not None]
    spread = f", gains from {points(min(gains))} to {points(max(gains))} points" if gains else ""
    return f"{len(alike)} runs of this recipe with different seeds{spread}; this one is the best of them."
