"""Check what a run must reach to be released. A run that fails is recorded as rejected, with its reasons."""

from collections.abc import Sequence

from pipeline.deploy.precision_choice import defaults
from pipeline.params.deployment import ReleaseParams
from pipeline.records.decision import Decision
from pipeline.records.export import Artifact

MEBIBYTE = 2**20


def failed_gates(decisions: Sequence[Decision], artifacts: Sequence[Artifact], release: ReleaseParams) -> list[str]:
    """Return one sentence for each gate that the run does not pass; none if it may be released."""
    ships = [decision for decision in decisions if decision.verdict == "ships"]
    if not ships:
        return ["nothing ships: no file within its budget was measured on any runtime"]
    failed = []
    worst = min(ships, key=lambda d: d.miou)
    if worst.miou < release.min_miou:
        failed.append(f"mIoU {worst.miou:.4f} of {worst.file}, needed is {release.min_miou:g} (release.min_miou)")
    worst, most = max(ships, key=lambda d: d.miou_lost_points), release.max_miou_lost_points
    if most is not None and worst.miou_lost_points > most:
        failed.append(
            f"{worst.file} loses {worst.miou_lost_points:.3f} points of mIoU against the checkpoint, allowed are "
            f"{most:g} (release.max_miou_lost_points)"
        )
    fastest, most = defaults(decisions)[0], release.max_p90_ms
    what = f"{fastest.file} with {fastest.runtime}"
    if most is not None and fastest.p90_ms is None:
        failed.append(
            f"the p90 of {what} is unknown, because too few calls were timed; {most:g} ms are allowed "
            f"(release.max_p90_ms): raise benchmark.calls"
        )
    elif most is not None and fastest.p90_ms is not None and fastest.p90_ms > most:
        failed.append(f"p90 {fastest.p90_ms:.2f} ms of {what}, allowed are {most:g} ms (release.max_p90_ms)")
    files, most = {decision.file for decision in ships}, release.max_mebibytes
    largest = max((artifact for artifact in artifacts if artifact.file in files), key=lambda a: a.bytes)
    size = largest.bytes / MEBIBYTE
    if most is not None and size > most:
        failed.append(f"{largest.file} has {size:.1f} MiB, allowed are {most:g} MiB (release.max_mebibytes)")
    return failed
