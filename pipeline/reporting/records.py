"""What training and evaluation write as JSON, as checked records; keys that the report does not use are passed over."""

from typing import TypeVar, dataclass_transform

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
    input: list[int]  # H, W; also of the graphs that ship
