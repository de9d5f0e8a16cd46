"""Decide which file is released for each runtime and precision, and whether the run may be released at all."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import inf
from operator import attrgetter

from pipeline.params.deployment import ReleaseParams
from pipeline.records.artifacts import Artifact, Engine
from pipeline.records.benchmark import IMAGE_TO_LABELS, Measurement
from pipeline.records.release import Decision
from segdistill_runtime.precision_choice import PRECISIONS, Candidate, choose_precisions
from segdistill_runtime.targets.target import all_targets, load_target

MEBIBYTE = 2**20


def decide(
    artifacts: Sequence[Artifact], engines: Sequence[Engine], measurements: Sequence[Measurement],
    size: tuple[int, int], min_speedup: Mapping[str, float],
) -> list[Decision]:  # fmt: skip
    """Return a decision of `choose_precisions` for each file on each runtime that it is made for; `size` is (H, W)."""
    made_for_any = dict.fromkeys(runtime for artifact in artifacts for runtime in artifact.runtimes)
    decisions = []
    for runtime in sorted(made_for_any, key=_runs_engines):  # engines last
        made_for = [artifact for artifact in artifacts if runtime in artifact.runtimes]
        made_for.sort(key=lambda artifact: PRECISIONS.index(artifact.precision))
        # Engines of TensorRT for RTX count as TensorRT.
        names = [target.name for target in all_targets() if target.decided_with == runtime]
        times = [m for m in measurements if m.runtime in names]
        built = [engine for engine in engines if engine.backend in names]
        found = [_measured(artifact, times, size) for artifact in made_for]
        candidates = [_candidate(artifact, time, times, built) for artifact, time in zip(made_for, found, strict=True)]
        choices = choose_precisions(candidates, min_speedup)
        for artifact, time, choice in zip(made_for, found, choices, strict=True):
            decisions.append(
                Decision(
                    runtime=runtime, precision=artifact.precision, file=artifact.file,
                    verdict=choice.status,
                    reason=choice.reason, miou=artifact.parity.miou,
                    miou_lost_points=artifact.parity.miou_lost_points, p50_ms=time.p50_ms if time else None,
                    p90_ms=time.p90_ms if time else None, speedup=choice.speedup,
                )
            )  # fmt: skip
    return decisions


def defaults(decisions: Sequence[Decision]) -> list[Decision]:
    """Return the fastest accepted file of each runtime, fastest first."""
    accepted = sorted((d for d in decisions if d.verdict == "accepted"), key=attrgetter("p50_ms"), reverse=True)
    return sorted({d.runtime: d for d in accepted}.values(), key=attrgetter("p50_ms"))


def for_receivers(decisions: Sequence[Decision], runtimes: Sequence[str], files: str) -> list[Decision]:
    """Return the decisions, but reject each file that the parameters leave out, with the parameter as the reason.

    `files` is `all` or `fastest`. `all` keeps accepted and undecided files; `fastest` keeps the fastest measured file
    of each runtime.
    """
    best, chosen = defaults([d for d in decisions if d.runtime in runtimes]), []
    for decision in decisions:
        reason = "" if decision.runtime in runtimes else "this runtime is not in release.runtimes"
        if not reason and files == "fastest" and decision not in best:
            reason = "the bundle has only the fastest measured file of each runtime (release.files)"
        left_out = reason and decision.verdict != "rejected"
        chosen.append(replace(decision, verdict="rejected", reason=reason) if left_out else decision)
    return chosen


def failed_gates(
    decisions: Sequence[Decision], artifacts: Sequence[Artifact], miou_scope: str, release: ReleaseParams
) -> list[str]:
    """Return one sentence for each gate that the run fails; an empty list if it may be released.

    `miou_scope` names the classes that the mIoU covers, see Evaluation.
    """
    accepted = [decision for decision in decisions if decision.verdict == "accepted"]
    if not accepted:
        return ["nothing to release: no file within its budget was measured on any runtime"]
    failed = []
    worst = min(accepted, key=lambda d: d.miou)
    if worst.miou < release.min_miou:
        found = f"mIoU{miou_scope} {worst.miou:.4f} of {worst.file}"
        failed.append(f"{found} is below the limit of {release.min_miou:g} (release.min_miou)")
    worst = max(accepted, key=lambda d: d.miou_lost_points)
    if worst.miou_lost_points > (most := release.max_miou_lost_points or inf):
        failed.append(
            f"{worst.file} loses {worst.miou_lost_points:.3f} points of mIoU{miou_scope} against the checkpoint, "
            f"above the limit of {most:g} (release.max_miou_lost_points)"
        )
    fastest = defaults(decisions)[0]
    what = f"{fastest.file} with {fastest.runtime}"
    if fastest.p90_ms is None and release.max_p90_ms:
        failed.append(
            f"the p90 of {what} is unknown because too few calls were timed; raise benchmark.calls, or remove the "
            f"limit of {release.max_p90_ms:g} ms (release.max_p90_ms)"
        )
    elif (fastest.p90_ms or 0.0) > (most := release.max_p90_ms or inf):
        failed.append(f"p90 {fastest.p90_ms:.2f} ms of {what} is above the limit of {most:g} ms (release.max_p90_ms)")
    files = {decision.file for decision in accepted}
    largest = max((artifact for artifact in artifacts if artifact.file in files), key=lambda a: a.bytes)
    if (size := largest.bytes / MEBIBYTE) > (most := release.max_mebibytes or inf):
        failed.append(f"{largest.file} has {size:.1f} MiB, above the limit of {most:g} MiB (release.max_mebibytes)")
    return failed


def _runs_engines(runtime: str) -> bool:
    return load_target(runtime).suffix == ".engine"


def _of_file(artifact: Artifact, times: Sequence[Measurement]) -> list[Measurement]:
    """Return the measurements of a file, or of the engines built from it, whose file names differ."""
    alike = (m for m in times if m.precision == artifact.precision)
    return [m for m in alike if m.file == artifact.file or _runs_engines(m.runtime)]


def _measured(artifact: Artifact, times: Sequence[Measurement], size: tuple[int, int]) -> Measurement | None:
    """Find the fastest measurement of a file from image to labels."""
    wanted = (IMAGE_TO_LABELS, (1, *size), "measured")
    whole = [m for m in _of_file(artifact, times) if m.p50_ms and (m.boundary, m.shape, m.status) == wanted]
    return min(whole, key=attrgetter("p50_ms"), default=None)


def _candidate(
    artifact: Artifact, time: Measurement | None, times: Sequence[Measurement], engines: Sequence[Engine]
) -> Candidate:
    """Collect the input of `choose_precisions`. A file over its parity budget is refused, whatever its speed."""
    over = [engine for engine in engines if engine.precision == artifact.precision and engine.accepted is False]
    refused = "; ".join(f"{engine.file}: {engine.reason}" for engine in over)
    if artifact.status == "rejected":
        refused = artifact.reason or "over its parity budget"
    if time is None:
        reasons = dict.fromkeys(m.reason for m in _of_file(artifact, times) if m.status == "not run")
        why_not = "; ".join(reasons) or "stage benchmark has no measurement of it"
        return Candidate(artifact.precision, None, not_measured=why_not, refused=refused)
    noisy = f" (noisy: its times vary by {time.coefficient_of_variation:.0%})" if time.noisy else ""
    return Candidate(artifact.precision, time.p50_ms, time.p50_ms_of_rounds or (), refused=refused, remark=noisy)
