"""What curation knows of a sample: a few kilobytes, from which every rule can be judged again without its files."""

import json
from typing import Literal, NamedTuple

import numpy as np

THUMBNAIL_SIDE = 16
"""Rows and columns of a thumbnail: coarse enough to forgive recompression, fine enough to tell two corners apart."""

THUMBNAIL_VALUES = 3 * THUMBNAIL_SIDE**2


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


class MaskMeasurement(NamedTuple):
    size: tuple[int, int]  # height, width in pixels
    format: str
    digest: str  # of the decoded pixels
    pixels: np.ndarray  # of each raw id, int64 (256,)
    border_noise: float  # 0..1, see mask.py


class Alignment(NamedTuple):
    """Where the borders of the mask fit the edges of the image best."""

    right: int  # pixels by which the mask would have to be moved
    down: int
    gain: float  # edge strength under the borders there, divided by that where they are; 1 or more


class Measurement(NamedTuple):
    image: ImageMeasurement | Problem
    mask: MaskMeasurement | Problem | None  # None: an unlabelled image
    alignment: Alignment | None  # None: no borders, or sizes differ


def to_bytes(measurement: Measurement) -> bytes:
    """One line of JSON, the thumbnail and the pixel counts."""
    image, mask, alignment = measurement
    facts = {"image": image._asdict(), "mask": mask and mask._asdict(), "alignment": alignment and alignment._asdict()}
    arrays = b""
    if isinstance(image, ImageMeasurement):
        arrays += facts["image"].pop("thumbnail").tobytes()
    if isinstance(mask, MaskMeasurement):
        arrays += facts["mask"].pop("pixels").tobytes()
    return json.dumps(facts).encode() + b"\n" + arrays


def from_bytes(stored: bytes) -> Measurement:
    """The measurement that to_bytes() wrote."""
    line, _, arrays = stored.partition(b"\n")
    facts = json.loads(line)
    image, mask, alignment = facts["image"], facts["mask"], facts["alignment"]
    if "kind" not in image:
        thumbnail, arrays = arrays[: 4 * THUMBNAIL_VALUES], arrays[4 * THUMBNAIL_VALUES :]
        image |= {"size": tuple(image["size"]), "thumbnail": np.frombuffer(thumbnail, dtype=np.float32)}
    if mask and "kind" not in mask:
        mask |= {"size": tuple(mask["size"]), "pixels": np.frombuffer(arrays, dtype=np.int64)}
    return Measurement(
        Problem(**image) if "kind" in image else ImageMeasurement(**image),
        None if mask is None else Problem(**mask) if "kind" in mask else MaskMeasurement(**mask),
        None if alignment is None else Alignment(**alignment),
    )
