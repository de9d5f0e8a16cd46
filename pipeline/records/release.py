"""The records of a bundle: manifest.json, numerics.yaml (accuracy) and perf.yaml (latency)."""

from typing import Literal

from pipeline.records.benchmark import Benchmark
from pipeline.records.decision import Decision
from pipeline.records.engine import Engine
from pipeline.records.export import Artifact
from pipeline.records.files import record
from pipeline.records.quantization import Int8Recipe

Status = Literal["released", "rejected"]


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
    samples_sha256: str  # of the curated sample list
    checkpoint_md5: list[str]
    artifacts: list[Artifact]
    engines: list[Engine]
    quantization: Int8Recipe
    decisions: list[Decision]


@record
class Performance(Benchmark):
    """The benchmark, and the decisions that rest on it."""

    decisions: list[Decision]
