"""The comparison as text: accuracy, then latency with a verdict for each row."""

from collections.abc import Sequence
from math import sqrt

from pipeline.releases_compared.comparable import version_changes
from pipeline.releases_compared.reading import Release, Timing

MEDIAN_SPREAD = 1.2533
"""Standard error of a median over that of a mean, for a normal sample: sqrt(pi / 2)."""
SIGMAS = 3.0
DRIFT = 0.05
"""What two measurements of the same file on the same machine differ by on another day; less is never a verdict."""
RULE = (
    f"Rule: B is faster or slower where the ratio of medians leaves 1 by more than {SIGMAS:.0f} standard errors "
    f"({MEDIAN_SPREAD} * sqrt(CV_A^2 / calls_A + CV_B^2 / calls_B)) and by more than {DRIFT:.0%}; "
    f"a measurement that is marked noisy gives no verdict."
)


def comparison_text(a: Release, b: Release) -> str:
    """Everything to print."""
    protocol = a.protocol
    changes = version_changes(a, b)
    lines = [
        f"A: {a.name} (run {a.run})",
        f"B: {b.name} (run {b.run})",
        f"{protocol.get('threads')} threads, {a.machine.get('cpu')}, {a.machine.get('gpu') or 'no GPU'}; "
        f"{a.images} images of {a.split}",
        *([f"Versions changed: {', '.join(changes)}"] if changes else []),
        "",
        *_aligned(["file", "mIoU A", "mIoU B", "points", "parity A", "parity B"], _accuracy_rows(a, b)),
        "",
        *_aligned(
            ["runtime", "precision", "boundary", "input", "p50 A", "p50 B", "B/A", "p90 A", "p90 B", "B/A", "verdict"],
            _latency_rows(a, b),
        ),
        "",
        "Times in ms; parity is the share of pixels with the checkpoint's class.",
        RULE,
    ]
    return "\n".join(lines)


def verdict(a: Timing, b: Timing) -> str:
    """Faster, slower, within noise, or why there is no verdict."""
    noisy = [name for name, timing in (("A", a), ("B", b)) if timing.noisy]
    if noisy:
        return f"none: {' and '.join(noisy)} noisy"
    error = MEDIAN_SPREAD * sqrt(a.variation**2 / a.calls + b.variation**2 / b.calls)
    change = b.p50_ms / a.p50_ms - 1
    if abs(change) <= max(SIGMAS * error, DRIFT):
        return "within noise"
    return "slower" if change > 0 else "faster"


def _accuracy_rows(a: Release, b: Release) -> list[list[str]]:
    change = 100 * (b.reference_miou - a.reference_miou)
    rows = [["checkpoint", f"{a.reference_miou:.4f}", f"{b.reference_miou:.4f}", f"{change:+.2f}", "", ""]]
    for file, runtime in _union(a.artifacts, b.artifacts):
        of_a, of_b = a.artifacts.get((file, runtime)), b.artifacts.get((file, runtime))
        points = "" if of_a is None or of_b is None else f"{100 * (of_b.miou - of_a.miou):+.2f}"
        miou = [_or_dash(numbers and numbers.miou, ".4f") for numbers in (of_a, of_b)]
        parity = [_or_dash(numbers and numbers.pixel_agreement, ".4%") for numbers in (of_a, of_b)]
        rows.append([f"{file} ({runtime})", *miou, points, *parity])
    return rows


def _latency_rows(a: Release, b: Release) -> list[list[str]]:
    rows = []
    for case in _union(a.timings, b.timings):
        of_a, of_b = a.timings.get(case), b.timings.get(case)
        row = [case.runtime, case.precision, case.boundary, f"{case.batch}x{case.height}x{case.width}"]
        row += _pair(of_a and of_a.p50_ms, of_b and of_b.p50_ms) + _pair(of_a and of_a.p90_ms, of_b and of_b.p90_ms)
        if of_a is None or of_b is None:
            row.append(f"only in {'A' if of_b is None else 'B'}")
        else:
            row.append(verdict(of_a, of_b))
        rows.append(row)
    return rows


def _pair(a: float | None, b: float | None) -> list[str]:
    ratio = "" if a is None or b is None else f"{b / a:.2f}"
    return [_or_dash(a, ".2f"), _or_dash(b, ".2f"), ratio]


def _or_dash(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _union(a: dict, b: dict) -> list:
    """Keys of both, in their order."""
    return list({**a, **b})


def _aligned(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns under each other: text to the left, what looks like a number to the right."""
    widths = [max(len(line[column]) for line in [heads, *rows]) for column in range(len(heads))]
    numeric = [all(row[column][:1] in "+-.0123456789" for row in rows) for column in range(len(heads))]
    return [
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, numeric, strict=True)
        ).rstrip()
        for line in [heads, *rows]
    ]
