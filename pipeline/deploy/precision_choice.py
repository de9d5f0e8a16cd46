"""Decide which file is released for each runtime and precision, with the reason for each."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pipeline.records.benchmark import IMAGE_TO_LABELS, Measurement
from pipeline.records.decision import Decision, Verdict
from pipeline.records.engine import Engine
from pipeline.records.export import PRECISIONS, Artifact
from segdistill_runtime.precision_choice import Candidate, choose_precisions
from segdistill_runtime.targets.target import all_targets, load_target

VERDICTS: dict[str, Verdict] = {"accepted": "ships", "rejected": "rejected", "undecided": "undecided"}


def decide(
    artifacts: Sequence[Artifact],
    engines: Sequence[Engine],
    measurements: Sequence[Measurement],
    size: tuple[int, int],
    min_speedup: Mapping[str, float],
) -> list[Decision]:
    """Decide about every file on every runtime that it is made for, by the rule of `choose_precisions`.

    Args:
        size: (H, W) of the graphs that ship.
        min_speedup: for fp16 and int8.
    """
    made_for_any = dict.fromkeys(runtime for artifact in artifacts for runtime in artifact.runtimes)
    runtimes = sorted(made_for_any, key=lambda runtime: load_target(runtime).suffix == ".engine")  # engines last
    decisions = []
    for runtime in runtimes:
        made_for = [artifact for artifact in artifacts if runtime in artifact.runtimes]
        made_for.sort(key=lambda artifact: PRECISIONS.index(artifact.precision))
        # Engines of TensorRT for RTX count as TensorRT.
        names = [target.name for target in all_targets() if target.decided_with == runtime]
        of_runtime = [measurement for measurement in measurements if measurement.runtime in names]
        measured = [_measured(artifact, of_runtime, size) for artifact in made_for]
        candidates = [
            _candidate(artifact, latency, why_not, [engine for engine in engines if engine.backend in names])
            for artifact, (latency, why_not) in zip(made_for, measured, strict=True)
        ]
        choices = choose_precisions(candidates, min_speedup)
        for artifact, (latency, _), choice in zip(made_for, measured, choices, strict=True):
            decisions.append(
                Decision(
                    runtime=runtime,
                    precision=artifact.precision,
                    file=artifact.file,
                    verdict=VERDICTS[choice.status],
                    reason=choice.reason,
                    miou=artifact.parity.miou,
                    miou_lost_points=artifact.parity.miou_lost_points,
                    p50_ms=latency.p50_ms if latency else None,
                    p90_ms=latency.p90_ms if latency else None,
                    speedup=choice.speedup,
                )
            )
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


def _candidate(artifact: Artifact, measured: Measurement | None, why_not: str, engines: Sequence[Engine]) -> Candidate:
    """Put together what the rule has to know; what is over its parity budget is refused, whatever its speed."""
    if artifact.status == "rejected":
        refused = artifact.reason or "over its parity budget"
    else:
        over = [engine for engine in engines if engine.precision == artifact.precision and engine.accepted is False]
        refused = "; ".join(f"{engine.file}: {engine.reason}" for engine in over)
    if measured is None:
        return Candidate(artifact.precision, None, not_measured=why_not, refused=refused)
    noisy = f" (noisy: its times vary by {measured.coefficient_of_variation:.0%})" if measured.noisy else ""
    rounds = measured.p50_ms_of_rounds or ()
    return Candidate(artifact.precision, measured.p50_ms, rounds, refused=refused, remark=noisy)


def _measured(
    artifact: Artifact, measurements: Sequence[Measurement], size: tuple[int, int]
) -> tuple[Measurement | None, str]:
    """Find the fastest measurement of a file, or say why there is none. Engines have file names of their own."""
    of_file = [
        m
        for m in measurements
        if m.precision == artifact.precision and (load_target(m.runtime).suffix == ".engine" or m.file == artifact.file)
    ]
    whole = [m for m in of_file if (m.boundary, m.shape, m.status) == (IMAGE_TO_LABELS, (1, *size), "measured")]
    if found := [m for m in whole if m.p50_ms]:
        return min(found, key=lambda m: m.p50_ms or 0.0), ""
    reasons = list(dict.fromkeys(m.reason for m in of_file if m.status == "not run"))
    return None, "; ".join(reasons) or "stage benchmark has no measurement of it"
