"""Choose the precisions that a runtime uses: a lower one must be right, and faster by a required factor.

A release decides from its own measurements. A target that rebuilds its engines decides from the target's.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

PRECISIONS = ("fp32", "fp16", "int8")
"""Ordered from the most exact to the least exact."""


class Candidate(NamedTuple):
    """One precision of a model on one runtime, with its measurements."""

    precision: str
    p50_ms: float | None  # None: not measured
    p50_ms_of_rounds: Sequence[float] = ()  # in each round all candidates take turns; empty if rounds are not recorded
    not_measured: str = ""  # the reason
    refused: str = ""  # why it must not be used at any speed
    remark: str = ""  # on the time, added to it in reasons

    def time(self) -> str:
        return f"{self.p50_ms:.2f} ms{self.remark}"


class Choice(NamedTuple):
    status: Literal["accepted", "rejected", "undecided"]
    reason: str
    speedup: float | None = None  # over the fastest candidate of a higher precision that is not refused


def choose_precisions(candidates: Sequence[Candidate], min_speedup: Mapping[str, float]) -> list[Choice]:
    """Decide about each candidate of one runtime; candidates are ordered from the most exact to the least exact.

    fp32 is accepted if it is not refused. A lower precision must be `min_speedup` times as fast as the fastest higher
    one that is not refused. This must hold over all calls and in every round, because two medians on a busy machine may
    differ by that much by chance.
    """
    choices = []
    measured: list[Candidate] = []
    for candidate in candidates:
        choices.append(_choose(candidate, measured, min_speedup))
        if candidate.p50_ms and not candidate.refused:
            measured.append(candidate)
    return choices


def _choose(candidate: Candidate, higher: Sequence[Candidate], min_speedup: Mapping[str, float]) -> Choice:
    if candidate.refused:
        return Choice("rejected", candidate.refused)
    if not candidate.p50_ms:
        return Choice("undecided", f"its speed was not measured: {candidate.not_measured}")
    if candidate.precision == "fp32":
        return Choice("accepted", f"within its budget; p50 {candidate.time()}")
    if not higher:
        return Choice("undecided", "no higher precision was measured on this runtime to compare its speed with")
    best = min(higher, key=lambda rival: rival.p50_ms or 0.0)
    speedup, needed = (best.p50_ms or 0.0) / candidate.p50_ms, min_speedup[candidate.precision]
    compared = f"p50 {candidate.time()} against {best.time()} of {best.precision}: {speedup:.2f} times as fast"
    if speedup < needed:
        return Choice("rejected", f"{compared}, but {needed:g} is needed", speedup)
    pairs = zip(best.p50_ms_of_rounds, candidate.p50_ms_of_rounds, strict=False)
    of_rounds = [theirs / ours for theirs, ours in pairs]
    if min(of_rounds, default=speedup) < needed:
        slowest = f"but {min(of_rounds):.2f} in one of {len(of_rounds)} rounds; {needed:g} is needed in each"
        return Choice("rejected", f"{compared}, {slowest}", speedup)
    return Choice("accepted", f"within its budget; {compared}", speedup)
