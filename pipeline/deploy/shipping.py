"""What ships: for each runtime and precision one decision with its reason. A lower precision has to pay for itself."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal

from pipeline.deploy.evidence import BOUNDARY, Artifact, Engine, Measurement

PRECISIONS = ("fp32", "fp16", "int8")
"""From the most exact to the least."""

RUNS_ON = {"tensorrt": ("tensorrt", "tensorrt_rtx")}
"""Names under which measurements of a runtime may stand; others have their own only."""

Verdict = Literal["ships", "rejected", "undecided"]


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Whether one file ships for one runtime."""

    runtime: str
    precision: str
    file: str
    verdict: Verdict
    reason: str
    miou: float  # 0..1
    miou_lost_points: float  # of 100, against the checkpoint
    p50_ms: float | None  # image to labels, batch 1; None if it was not measured
    speedup: float | None  # over the fastest accepted file of a higher precision; None if there is nothing to compare

    def record(self) -> dict[str, object]:
        return asdict(self)


def decide(
    artifacts: Sequence[Artifact],
    engines: Sequence[Engine],
    measurements: Sequence[Measurement],
    size: tuple[int, int],
    min_speedup: Mapping[str, float],
) -> list[Decision]:
    """Decide about every file on every runtime that it is made for.

    A file over its parity budget is rejected; one that was not measured is undecided. Otherwise fp32 ships, and a lower
    precision if it is `min_speedup` times as fast as the best higher one of that runtime, in every round: two medians
    of a busy machine may differ by that much for nothing.

    Args:
        size: (H, W) of the graphs that ship.
        min_speedup: for fp16 and int8.
    """
    made_for_any = dict.fromkeys(runtime for artifact in artifacts for runtime in artifact.runtimes)
    runtimes = sorted(made_for_any, key=lambda runtime: runtime in RUNS_ON)  # engines last
    decisions = []
    for runtime in runtimes:
        rivals: list[tuple[Artifact, Measurement]] = []
        made_for = [artifact for artifact in artifacts if runtime in artifact.runtimes]
        for artifact in sorted(made_for, key=lambda a: PRECISIONS.index(a.precision)):
            measured, why_not = _measured(artifact, runtime, measurements, size)
            over_budget = _over_budget(artifact, runtime, engines)
            decisions.append(_decide(artifact, runtime, measured, why_not, over_budget, rivals, min_speedup))
            if measured is not None and not over_budget:
                rivals.append((artifact, measured))
    return decisions


def defaults(decisions: Sequence[Decision]) -> list[Decision]:
    """The fastest file that ships for each runtime, the fastest of all first."""
    ships = [decision for decision in decisions if decision.verdict == "ships"]
    best = {d.runtime: d for d in sorted(ships, key=_p50, reverse=True)}
    return sorted(best.values(), key=_p50)


def for_receivers(decisions: Sequence[Decision], runtimes: Sequence[str], files: str) -> list[Decision]:
    """The decisions of a bundle that is not made for everybody: what it leaves out is rejected, with the reason.

    Args:
        runtimes: that receivers have.
        files: `all` that ship or may yet; or `fastest`, one for each runtime, and none that was not measured.
    """
    here = [
        decision if decision.runtime in runtimes else _left_out(decision, "not for this runtime (release.runtimes)")
        for decision in decisions
    ]
    if files == "all":
        return here
    best = defaults(here)
    reason = "the bundle holds one file for each runtime, the fastest that was measured (release.files)"
    return [decision if decision in best else _left_out(decision, reason) for decision in here]


def _left_out(decision: Decision, reason: str) -> Decision:
    return decision if decision.verdict == "rejected" else replace(decision, verdict="rejected", reason=reason)


def _p50(decision: Decision) -> float:
    return decision.p50_ms or 0.0


def _decide(
    artifact: Artifact,
    runtime: str,
    measured: Measurement | None,
    why_not: str,
    over_budget: str,
    rivals: Sequence[tuple[Artifact, Measurement]],
    min_speedup: Mapping[str, float],
) -> Decision:
    verdict: Verdict = "undecided"
    reason, speedup = f"its speed was not measured: {why_not}", None
    if over_budget:
        verdict, reason = "rejected", over_budget
    elif measured is not None:
        verdict, reason, speedup = _by_speed(artifact, measured, rivals, min_speedup)
    return Decision(
        runtime=runtime,
        precision=artifact.precision,
        file=artifact.file,
        verdict=verdict,
        reason=reason,
        miou=artifact.parity.miou,
        miou_lost_points=artifact.parity.miou_lost_points,
        p50_ms=None if measured is None else measured.p50_ms,
        speedup=speedup,
    )


def _by_speed(
    artifact: Artifact,
    measured: Measurement,
    rivals: Sequence[tuple[Artifact, Measurement]],
    min_speedup: Mapping[str, float],
) -> tuple[Verdict, str, float | None]:
    """Verdict, reason and speedup of a file that is within its budget."""
    if artifact.precision == "fp32":
        return "ships", f"within its budget; p50 {_in_words(measured)}", None
    if not rivals:
        return "undecided", "no higher precision was measured on this runtime, so nobody knows whether it pays", None
    rival, best = min(rivals, key=lambda pair: pair[1].p50_ms or 0.0)
    speedup, needed = (best.p50_ms or 0.0) / (measured.p50_ms or 1.0), min_speedup[artifact.precision]
    compared = f"p50 {_in_words(measured)} against {_in_words(best)} of {rival.precision}: {speedup:.2f} times as fast"
    if speedup < needed:
        return "rejected", f"{compared}, needed is {needed:g}", speedup
    rounds = _speedups_of_rounds(measured, best)
    if min(rounds, default=speedup) < needed:
        told = f"but {min(rounds):.2f} in one of {len(rounds)} rounds, needed is {needed:g} in each"
        return "rejected", f"{compared}, {told}", speedup
    return "ships", f"within its budget; {compared}", speedup


def _speedups_of_rounds(measured: Measurement, rival: Measurement) -> list[float]:
    """Empty where rounds were not told apart."""
    pairs = zip(rival.p50_ms_of_rounds or [], measured.p50_ms_of_rounds or [], strict=False)
    return [theirs / ours for theirs, ours in pairs]


def _in_words(measured: Measurement) -> str:
    noisy = f" (noisy: its times vary by {measured.coefficient_of_variation:.0%})" if measured.noisy else ""
    return f"{measured.p50_ms:.2f} ms{noisy}"


def _over_budget(artifact: Artifact, runtime: str, engines: Sequence[Engine]) -> str:
    """Why an artifact must not run on a runtime, whatever its speed; empty if nothing speaks against it."""
    if artifact.status == "rejected":
        return artifact.reason or "over its parity budget"
    refused = [e for e in engines if runtime in RUNS_ON and e.precision == artifact.precision and e.accepted is False]
    return "; ".join(f"{engine.file}: {engine.reason}" for engine in refused)


def _measured(
    artifact: Artifact, runtime: str, measurements: Sequence[Measurement], size: tuple[int, int]
) -> tuple[Measurement | None, str]:
    """The time that decides, or the reason why there is none. An engine has a name of its own, graphs keep theirs."""
    names = RUNS_ON.get(runtime, (runtime,))
    of_runtime = [m for m in measurements if m.runtime in names and m.precision == artifact.precision]
    of_file = [m for m in of_runtime if runtime in RUNS_ON or m.file == artifact.file]
    found = [
        m
        for m in of_file
        if (m.boundary, m.batch, m.height, m.width, m.status) == (BOUNDARY, 1, *size, "measured") and m.p50_ms
    ]
    if found:
        return min(found, key=lambda m: m.p50_ms or 0.0), ""
    reasons = list(dict.fromkeys(m.reason for m in of_file if m.status == "not run"))
    return None, "; ".join(reasons) or "stage profile has no measurement of it"
