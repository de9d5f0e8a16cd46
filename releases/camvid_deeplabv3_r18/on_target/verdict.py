"""Which of the rebuilt engines stay: what a target decides for itself, from its own measurements."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from .golden import Limits

PRECISIONS = ("fp32", "fp16", "int8")
"""From the most exact to the least; each has to pay for what it gives up."""


class Outcome(NamedTuple):
    """What became of one precision."""

    precision: str
    source_file: str
    source_sha256: str
    verdict: str  # kept, rejected, failed (a fault), undecided (not run here), absent (not in the bundle)
    reason: str
    file: str = ""
    bytes: int = 0
    sha256: str = ""
    build_s: float | None = None
    pixel_agreement: float | None = None  # with the golden labels, 0..1; None if it was not run
    calls: int = 0
    p50_ms: float | None = None  # host to host, the golden image, batch 1
    p90_ms: float | None = None
    released: dict[str, Any] | None = None  # the bundle's own engine for the same GPUs, and whether the bytes are equal


def decide(outcomes: Sequence[Outcome], limits: Limits) -> list[Outcome]:
    """Judge what was built and run.

    An engine that differs too much from the golden labels has failed, or is rejected if it is int8. One of a lower
    precision stays only if it is `limits.min_speedup` times as fast as the best so far.
    """
    decided: list[Outcome] = []
    for outcome in sorted(outcomes, key=lambda o: PRECISIONS.index(o.precision)):
        if outcome.pixel_agreement is None:
            decided.append(outcome)
            continue
        kept = [other for other in decided if other.verdict == "kept"]
        verdict, reason = _judge(outcome, outcome.pixel_agreement, kept, limits)
        decided.append(outcome._replace(verdict=verdict, reason=reason))
    return decided


def fastest(outcomes: Sequence[Outcome]) -> Outcome | None:
    """The engine to use on this target."""
    kept = [outcome for outcome in outcomes if outcome.verdict == "kept" and outcome.p50_ms is not None]
    return min(kept, key=lambda outcome: outcome.p50_ms or 0.0, default=None)


def _judge(outcome: Outcome, agreement: float, kept: Sequence[Outcome], limits: Limits) -> tuple[str, str]:
    least = limits.min_pixel_agreement[outcome.precision]
    if agreement < least:
        reason = f"{100 * agreement:.3f} % of the golden image's pixels are equal, needed are {100 * least:g} %"
        return "rejected" if outcome.precision == "int8" else "failed", reason
    if outcome.precision == "fp32":
        return "kept", ""
    best = fastest(kept)
    if best is None or best.p50_ms is None or not outcome.p50_ms:
        if outcome.precision == "int8":
            return "undecided", "no other precision was measured that int8 could be compared with"
        return "kept", ""
    needed = limits.min_speedup[outcome.precision]
    speedup = best.p50_ms / outcome.p50_ms
    compared = f"{outcome.p50_ms:.3f} ms against {best.p50_ms:.3f} ms of {best.precision}: {speedup:.2f} times as fast"
    if speedup < needed:
        return "rejected", f"{compared}, needed is {needed:g}"
    return "kept", compared
