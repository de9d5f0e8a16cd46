"""What curation knows of a sample: a few kilobytes, from which every rule can be judged again without its files."""

import json
from typing import Any, Literal, NamedTuple

import numpy as np

THUMBNAIL_SIDE = 16
"""Rows and columns of a thumbnail: coarse enough to forgive recompression, fine enough to tell two corners apart."""


class Problem(NamedTuple):
    """Why the pixels of a file cannot be had."""

    kind: Literal["unreadable", "changed", "truncated", "too_large", "mode"]
    sentence: str  # without the file's name: the same bytes may lie elsewhere too


class ImageMeasurement(NamedTuple):
    size: tuple[int, int]  # height, width in pixels
    format: str  # as pillow calls it: PNG, JPEG, ...
    mode: str  # pillow's pixel format before conversion to RGB
    orientation: int  # EXIF, 1 to 8; 1 is upright
    digest: str  # of the decoded pixels
    thumbnail: np.ndarray  # float32 (768,), see image.py
    contrast: float  # standard deviation of the grey values, 0..127.5
    dark: float  # share of pixels that are all but black, 0..1
    bright: float  # share of pixels that are all but white, 0..1
    blur: float  # 0 sharp .. 1 blurred, see image.py


class Alignment(NamedTuple):
    """Where the borders of the mask fit the edges of the image best."""

    right: int = 0  # pixels by which the mask would have to be moved
    down: int = 0
    gain: float = 1.0  # edge strength under the borders there, divided by that where they are; 1 or more


class MaskMeasurement(NamedTuple):
    size: tuple[int, int]  # height, width in pixels
    format: str
    digest: str  # of the decoded pixels
    pixels: np.ndarray  # of each raw id, int64 (256,)
    border_noise: float  # 0..1, see mask.py
    shift: Alignment  # in its place where there are no borders, or no image of its size


class Measurement(NamedTuple):
    image: ImageMeasurement | None  # None: cannot be decoded
    mask: MaskMeasurement | None  # None: cannot be decoded, or unlabelled
    problems: dict[str, Problem]  # why "image" or "mask" cannot be decoded


def to_bytes(measurement: Measurement) -> bytes:
    """One line of JSON; arrays in hexadecimal."""
    return json.dumps(measurement, default=lambda array: array.tobytes().hex()).encode()


def from_bytes(stored: bytes) -> Measurement:
    """The measurement that to_bytes() wrote."""
    image, mask, problems = json.loads(stored)
    if image:
        image = ImageMeasurement(*image)
        image = image._replace(size=tuple(image.size), thumbnail=_array(image.thumbnail, np.float32))
    if mask:
        mask = MaskMeasurement(*mask)
        mask = mask._replace(size=tuple(mask.size), pixels=_array(mask.pixels, np.int64), shift=Alignment(*mask.shift))
    return Measurement(image, mask, {name: Problem(*problem) for name, problem in problems.items()})


def _array(hexadecimal: Any, kind: type) -> np.ndarray:
    return np.frombuffer(bytes.fromhex(hexadecimal), dtype=kind)
