"""What the other stages write as JSON, as checked records; keys that the report does not use are passed over."""

from typing import Literal, TypeVar, dataclass_transform

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

T = TypeVar("T")


@dataclass_transform(frozen_default=True, kw_only_default=True)
def record(cls: type[T]) -> type[T]:
    """Declare a record: frozen, keyword-only, values of the declared types."""
    return dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="ignore", strict=True))(cls)  # type: ignore[reportReturnType]


@record
class SplitStatistics:
    samples: int
    sequences: int
    pixels: list[int]  # for each class
    void_pixels: int
    samples_with_class: list[int]


@record
class NearPair:
    a: str
    b: str
    distance: float  # cosine distance of normalized thumbnails


@record
class Leakage:
    policy: str
    distance: float
    pairs: dict[str, int]  # "train/val" -> near-duplicates across the two
    evaluation_samples_affected: dict[str, int]
    shared_sequences: dict[str, list[str]]
    nearest: list[NearPair]


@record
class Statistics:
    classes: list[str]
    splits: dict[str, SplitStatistics]
    rejected: dict[str, int]  # rule -> samples
    leakage: Leakage


@record
class Evaluation:
    name: str
    architecture: str
    backbone: str
    backbone_weights: str
    method: str
    weights: dict[str, float]
    seed: int
    split: str
    images: int
    miou: float  # 0..1
    pixel_accuracy: float  # 0..1
    iou_per_class: dict[str, float | None]  # 0..1; None for a class that does not occur
    parameters: int
    gmacs: float
    input: list[int]  # H, W


@record
class Parity:
    images: int
    pixel_agreement: float  # 0..1
    miou: float  # 0..1
    miou_difference_points: float


@record
class GraphParity(Parity):
    max_logit_difference: float


@record
class Export:
    run: str
    opset: int
    ir_version: int
    nodes: int
    bytes: int
    sha256: str
    parity: GraphParity


@record
class Engine:
    precision: str
    backend: str
    version: str
    compute_capabilities: list[str]
    file: str
    bytes: int
    status: Literal["built", "not built"]
    executed: bool
    reason: str  # why not built, or why not executed
    parity: Parity | None


@record
class Engines:
    run: str
    engines: list[Engine]
    fp16_onnx: Parity | None


@record
class Measurement:
    """Times of one artifact at one boundary; all None where it was not run."""

    runtime: str
    boundary: str
    status: Literal["measured", "not run"]
    reason: str
    calls: int | None = None
    p50_ms: float | None = None
    p90_ms: float | None = None  # None: too few calls to say
    p99_ms: float | None = None
    throughput_images_per_s: float | None = None
    coefficient_of_variation: float | None = None
    noisy: bool | None = None
    peak_memory_mb: float | None = None


@record
class Profile:
    run: str
    machine: dict[str, str | int | float | None]
    threads: int
    batch: int
    input: list[int]  # H, W
    measurements: list[Measurement]

    def measurement(self, runtime: str, boundary: str) -> Measurement | None:
        """The measured entry, or None if that was not run."""
        for entry in self.measurements:
            if (entry.runtime, entry.boundary, entry.status) == (runtime, boundary, "measured"):
                return entry
        return None


@record
class ReleasedFile:
    path: str
    bytes: int
    sha256: str


@record
class Release:
    run: str
    status: Literal["released", "rejected"]
    reasons: list[str]
    files: list[ReleasedFile]
