"""What a run must reach to be released, by parameter. A run that fails is recorded as rejected, with its reasons."""

from collections.abc import Sequence

from pipeline.deploy.evidence import BOUNDARY, Artifact, Measurement
from pipeline.deploy.shipping import RUNS_ON, Decision, defaults
from pipeline.params.deployment import ReleaseParams

MEBIBYTE = 2**20


def failed_gates(
    decisions: Sequence[Decision],
    artifacts: Sequence[Artifact],
    measurements: Sequence[Measurement],
    size: tuple[int, int],
    release: ReleaseParams,
) -> list[str]:
    """One sentence for each gate that the run does not pass; none if it may be released.

    Args:
        size: (H, W) of the graphs that ship.
    """
    ships = [decision for decision in decisions if decision.verdict == "ships"]
    if not ships:
        return ["nothing ships: no file within its budget was measured on any runtime"]
    fastest = defaults(decisions)[0]
    checks = (
        _miou(ships, release.min_miou),
        _lost(ships, release.max_miou_lost_points),
        _p90(fastest, measurements, size, release.max_p90_ms),
        _bytes(ships, artifacts, release.max_mebibytes),
    )
    return [failed for failed in checks if failed]


def _miou(ships: Sequence[Decision], least: float) -> str:
    worst = min(ships, key=lambda d: d.miou)
    if worst.miou >= least:
        return ""
    return f"mIoU {worst.miou:.4f} of {worst.file}, needed is {least:g} (release.min_miou)"


def _lost(ships: Sequence[Decision], most: float | None) -> str:
    worst = max(ships, key=lambda d: d.miou_lost_points)
    if most is None or worst.miou_lost_points <= most:
        return ""
    return (
        f"{worst.file} loses {worst.miou_lost_points:.3f} points of mIoU against the checkpoint, allowed are {most:g} "
        f"(release.max_miou_lost_points)"
    )


def _p90(fastest: Decision, measurements: Sequence[Measurement], size: tuple[int, int], most: float | None) -> str:
    """Of the file that is used where everything is installed."""
    if most is None:
        return ""
    names = RUNS_ON.get(fastest.runtime, (fastest.runtime,))
    measured = [
        m
        for m in measurements
        if m.runtime in names
        and (m.precision, m.boundary, m.batch, m.height, m.width) == (fastest.precision, BOUNDARY, 1, *size)
        and m.p50_ms == fastest.p50_ms
    ]
    what = f"{fastest.file} with {fastest.runtime}"
    if not measured or measured[0].p90_ms is None:
        calls = measured[0].calls if measured else 0
        return (
            f"the p90 of {what} is unknown, because {calls} calls are too few to say; {most:g} ms are allowed "
            f"(release.max_p90_ms): raise profile.calls"
        )
    if measured[0].p90_ms <= most:
        return ""
    return f"p90 {measured[0].p90_ms:.2f} ms of {what}, allowed are {most:g} ms (release.max_p90_ms)"


def _bytes(ships: Sequence[Decision], artifacts: Sequence[Artifact], most: float | None) -> str:
    files = {decision.file for decision in ships}
    largest = max((artifact for artifact in artifacts if artifact.file in files), key=lambda a: a.bytes)
    if most is None or largest.bytes <= most * MEBIBYTE:
        return ""
    return f"{largest.file} has {largest.bytes / MEBIBYTE:.1f} MiB, allowed are {most:g} MiB (release.max_mebibytes)"
