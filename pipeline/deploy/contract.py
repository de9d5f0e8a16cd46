"""preprocessing.json of a release: its golden image, and which file each runtime runs."""

from collections.abc import Mapping, Sequence

from pipeline.deploy.golden import IMAGE, Golden
from pipeline.deploy.precision_choice import defaults
from pipeline.records.decision import Decision
from segdistill_runtime.contract import Contract, GoldenFiles, LeftOut, RuntimeFile


def release_contract(
    run: str, size: tuple[int, int], decisions: Sequence[Decision], golden: Golden, min_speedup: Mapping[str, float]
) -> Contract:
    """Take from the decisions what a client has to know.

    Args:
        size: (H, W) of the graphs.
    """
    best = defaults(decisions)
    return Contract(
        run=run,
        height=size[0],
        width=size[1],
        runtimes=[RuntimeFile(d.runtime, d.precision, d.file, d.p50_ms) for d in best],
        others=[LeftOut(d.runtime, d.precision, d.file, *_why_not(d)) for d in decisions if d not in best],
        golden=GoldenFiles(golden.sample, IMAGE, golden.labels, golden.min_pixel_agreement),
        min_speedup=dict(min_speedup),
    )


def _why_not(decision: Decision) -> tuple[str, str]:
    if decision.verdict == "ships":
        return decision.verdict, "it ships, but another file is faster on this runtime"
    return decision.verdict, decision.reason
