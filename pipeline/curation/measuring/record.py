"""The measurements of a sample: a few kilobytes, from which every rule can be checked again without the files."""

from typing import Annotated, Literal, NamedTuple

import numpy as np
from pydantic import PlainSerializer, PlainValidator, TypeAdapter

HEXADECIMAL = PlainSerializer(lambda array: array.tobytes().hex())
Look = Annotated[np.ndarray, PlainValidator(lambda text: np.frombuffer(bytes.fromhex(text), np.float32)), HEXADECIMAL]
Counts = Annotated[np.ndarray, PlainValidator(lambda text: np.frombuffer(bytes.fromhex(text), np.int64)), HEXADECIMAL]


class Problem(NamedTuple):
    """The reason why the pixels of a file cannot be used."""

    kind: Literal["unreadable", "changed", "truncated", "too_large", "mode", "colors"]
    sentence: str  # without the file's name: another file may have the same bytes


class ImageMeasurement(NamedTuple):
    size: tuple[int, int]  # height, width in pixels
    format: str  # as pillow calls it: PNG, JPEG, ...
    mode: str  # pillow's pixel format before conversion to RGB
    orientation: int  # EXIF, 1 to 8; 1 is upright
    digest: str  # of the decoded pixels
    thumbnail: Look  # float32 (768,), see pixels.py
    contrast: float  # standard deviation of the grey values, 0..127.5
    dark: float  # share of black or nearly black pixels, 0..1
    bright: float  # share of white or nearly white pixels, 0..1
    blur: float  # 0 sharp .. 1 blurred, see pixels.py


class Alignment(NamedTuple):
    """The shift with which the borders of the mask fit the edges of the image best."""

    right: int = 0  # pixels by which to move the mask
    down: int = 0
    gain: float = 1.0  # edge strength under the moved borders, divided by that under the mask's own; 1 or more


class MaskMeasurement(NamedTuple):
    size: tuple[int, int]  # height, width in pixels
    format: str
    digest: str  # of the decoded pixels
    pixels: Counts  # of each raw id, int64 (256,)
    border_noise: float  # 0..1, see pixels.py
    shift: Alignment  # zero if there are no borders, or no image of the same size


class Measurement(NamedTuple):
    image: ImageMeasurement | None  # None: cannot be decoded
    mask: MaskMeasurement | None  # None: cannot be decoded, or unlabelled
    problems: dict[str, Problem]  # why "image" or "mask" cannot be decoded


ADAPTER = TypeAdapter(Measurement)
to_bytes, from_bytes = ADAPTER.dump_json, ADAPTER.validate_json
