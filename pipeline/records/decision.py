"""Whether a file ships for a runtime, and why; part of numerics.yaml and perf.yaml."""

from typing import Literal

from pipeline.records.export import Precision
from pipeline.records.files import record

Verdict = Literal["ships", "rejected", "undecided"]


@record
class Decision:
    runtime: str
    precision: Precision
    file: str
    verdict: Verdict
    reason: str
    miou: float  # 0..1
    miou_lost_points: float  # of 100, against the checkpoint
    p50_ms: float | None  # image to labels, batch 1; None if it was not measured
    p90_ms: float | None  # the same; None also if too few calls were timed
    speedup: float | None  # over the fastest accepted file of a higher precision; None if there is none
