"""The records of a bundle: manifest.json, numerics.yaml (accuracy) and perf.yaml (latency)."""

from typing import Literal

from pipeline.params.sections import Precision
from pipeline.records.artifacts import Artifact, Engine, Int8Recipe
from pipeline.records.benchmark import Benchmark
from pipeline.records.files import record

Status = Literal["released", "rejected"]


@record
class Decision:
    """The decision whether a file may be released for a runtime, and the reason."""

    runtime: str
    precision: Precision
    file: str
    verdict: Literal["accepted", "rejected", "undecided"]
    reason: str
    miou: float  # 0..1
    miou_lost_points: float  # of 100, against the checkpoint
    p50_ms: float | None  # image to labels, batch 1; None if it was not measured
    p90_ms: float | None  # the same; None also if too few calls were timed
    speedup: float | None  # over the fastest accepted file of a higher precision; None if there is none


@record
class ReleasedFile:
    path: str  # in the bundle
    bytes: int
    sha256: str


@record
class Manifest:
    """Every file of a bundle."""

    format: str
    run: str
    status: Status
    reasons: list[str]  # why rejected
    tools: dict[str, str | None]  # version of each package that made the bundle
    files: list[ReleasedFile]


@record
class Numerics:
    """Accuracy of the checkpoint and of everything made from it."""

    run: str
    status: Status
    reasons: list[str]  # why rejected
    split: str
    images: int
    reference_miou: float  # of the checkpoint, 0..1
    reference_pixel_accuracy: float
    absent_classes: list[str]  # without a label in the split; no mIoU counts them
    samples_sha256: str  # of the curated sample list
    checkpoint_md5: list[str]
    artifacts: list[Artifact]
    engines: list[Engine]
    quantization: Int8Recipe
    decisions: list[Decision]


@record
class Performance(Benchmark):
    """The benchmark, and the decisions that use it."""

    decisions: list[Decision]
