"""What curation knows of a sample: each image and mask is decoded once, and only a few kilobytes are kept of it."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import cv2
import numpy as np

from pipeline.data.images import ImageError, read_image, read_mask
from pipeline.data.samples import Sample

THREADS = 2
"""Decoding leaves Python's lock, so a second thread hides reading behind it; more do not help on a laptop."""

THUMBNAIL_SIDE = 16
"""Rows and columns of a thumbnail: coarse enough to forgive recompression, fine enough to tell two corners apart."""

FLAT = 1e-3
"""Contrast, as a root mean square in grey values, below which a thumbnail shows nothing."""


class ImageMeasurement(NamedTuple):
    size: tuple[int, int]  # height, width in pixels
    digest: str  # of the decoded pixels
    thumbnail: np.ndarray  # float32 (768,), see thumbnail()


class MaskMeasurement(NamedTuple):
    size: tuple[int, int]  # height, width in pixels
    digest: str  # of the decoded pixels
    pixels: np.ndarray  # of each train id, int64 (256,)


class Measurement(NamedTuple):
    """An image or a mask that cannot be read is the sentence that says why."""

    image: ImageMeasurement | str
    mask: MaskMeasurement | str


def measure_samples(samples: Sequence[Sample]) -> list[Measurement]:
    """Measure all samples, in their order; memory grows by about 6 KB per sample."""
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(measure_sample, samples))


def measure_sample(sample: Sample) -> Measurement:
    return Measurement(_measure_image(sample), _measure_mask(sample))


def thumbnail(image: np.ndarray) -> np.ndarray:
    """The look of an image, uint8 (H, W, 3), as a unit vector, float32 (768,).

    Each color channel is centered on its mean and the whole is scaled to length 1, so that neither brightness nor
    contrast nor a color cast changes it. An image of one color has no look: its vector is zero, and far from all.
    """
    small = cv2.resize(image.astype(np.float32), (THUMBNAIL_SIDE, THUMBNAIL_SIDE), interpolation=cv2.INTER_AREA)
    centered = (small - small.mean(axis=(0, 1))).ravel()
    length = float(np.linalg.norm(centered))
    if length < FLAT * np.sqrt(centered.size):
        return np.zeros_like(centered)
    return centered / np.float32(length)


def _measure_image(sample: Sample) -> ImageMeasurement | str:
    try:
        image = read_image(sample.image)
    except ImageError as error:
        return str(error)
    return ImageMeasurement(_size(image), _digest(image), thumbnail(image))


def _measure_mask(sample: Sample) -> MaskMeasurement | str:
    try:
        mask = read_mask(sample.mask)
    except ImageError as error:
        return str(error)
    return MaskMeasurement(_size(mask), _digest(mask), np.bincount(mask.ravel(), minlength=256))


def _size(array: np.ndarray) -> tuple[int, int]:
    return array.shape[0], array.shape[1]


def _digest(array: np.ndarray) -> str:
    return hashlib.sha256(repr(array.shape).encode() + np.ascontiguousarray(array).tobytes()).hexdigest()
