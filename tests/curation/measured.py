"""Measurements and looks made by hand, so that rules and comparisons are tested without files."""

from pathlib import Path

import numpy as np

from pipeline.curation.duplicates import Look
from pipeline.curation.measurement import ImageMeasurement, MaskMeasurement, Measurement
from pipeline.data.samples import Sample


def sample(name: str, split: str, sequence: str = "s") -> Sample:
    return Sample(name, split, sequence, Path(f"{name}.jpg"), Path(f"{name}.png"))


def measurement(pixels: dict[int, int], size: tuple[int, int] = (4, 8)) -> Measurement:
    """A readable sample of the default size whose mask holds `pixels`, train id -> count."""
    counts = np.zeros(256, dtype=np.int64)
    counts[list(pixels)] = list(pixels.values())
    image = ImageMeasurement((4, 8), "image", np.zeros(3, dtype=np.float32))
    return Measurement(image, MaskMeasurement(size, "mask", counts))


def look(name: str, split: str, degrees: float, sequence: str = "", image: str = "", mask: str = "") -> Look:
    """A look whose thumbnail is the unit vector of an angle: two are 1 - cos(difference) apart."""
    angle = np.deg2rad(degrees)
    thumbnail = np.array([np.cos(angle), np.sin(angle)], dtype=np.float32)
    return Look(name, split, sequence or name, image or name, mask or name, thumbnail)
