"""Files to pixels, with what is wrong where that fails."""

import hashlib
import stat
import struct
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from pipeline.curation.measuring.record import Problem
from pipeline.data.images import DEEP, READ_ERRORS

MASK_MODES = ("L", "P")
"""One channel of 8 bits: grey values or palette indices."""

UPRIGHT = 1
"""EXIF's orientation of a picture that needs no turning."""


class Decoded(NamedTuple):
    pixels: np.ndarray  # uint8, (H, W, 3) RGB or (H, W) raw ids
    format: str
    mode: str  # before conversion
    orientation: int


def decode_image(path: Path, max_megapixels: float) -> Decoded | Problem:
    """The pixels of a picture as RGB, uint8 (H, W, 3)."""
    return _decode(path, max_megapixels, "RGB")


def decode_mask(path: Path, max_megapixels: float) -> Decoded | Problem:
    """The raw ids of a mask, uint8 (H, W)."""
    return _decode(path, max_megapixels, None)


def digest(pixels: np.ndarray) -> str:
    """Hexadecimal SHA-256 of an array and its shape."""
    return hashlib.sha256(repr(pixels.shape).encode() + np.ascontiguousarray(pixels).tobytes()).hexdigest()


def _decode(path: Path, max_megapixels: float, mode: str | None) -> Decoded | Problem:
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe waits for somebody to write into it
            return Problem("unreadable", "no file, but a folder, a pipe or a device")
        with Image.open(path) as file:
            return _header_problem(file, max_megapixels, mode) or _pixels(path, file, mode)
    except Image.DecompressionBombError as error:
        return Problem("too_large", f"the header claims more pixels than pillow decodes ({error})")
    except READ_ERRORS as error:
        return Problem("unreadable", _unreadable(path, error))


def _header_problem(file: Image.Image, max_megapixels: float, mode: str | None) -> Problem | None:
    """What the header says against decoding the rest: a small file can claim to hold any number of pixels."""
    width, height = file.size
    if file.format == "EPS":  # pillow would hand it to Ghostscript, where that is installed
        return Problem("unreadable", "an EPS file is a program that draws; convert it to PNG")
    if width * height > max_megapixels * 1e6:
        return Problem("too_large", f"{width} x {height} pixels are more than {max_megapixels} million")
    if file.format != "MPO" and getattr(file, "is_animated", False):  # a camera's MPO is a photograph with previews
        return Problem("mode", "an animation, or several pages or layers; save the one picture that is meant")
    if mode is None and file.mode not in MASK_MODES:
        return Problem("mode", f"pixel format {file.mode}; a mask has one channel of 8 bits (L or P)")
    if mode is not None and file.mode.startswith(DEEP):
        return Problem("mode", f"pixel format {file.mode}; convert it to 8 bits a channel")
    return None


def _pixels(path: Path, file: Image.Image, mode: str | None) -> Decoded | Problem:
    kind, original = file.format or "", file.mode
    orientation = _orientation(file)
    try:
        if kind == "PNG":
            _require_checksums(path)
        pixels = np.array(file if mode is None else file.convert(mode))
    except READ_ERRORS as error:
        width, height = file.size
        return Problem(
            "truncated", f"the header promises {width} x {height} pixels of {kind}, the pixels cannot be read: {error}"
        )
    return Decoded(pixels, kind, original, orientation)


def _orientation(file: Image.Image) -> int:
    """As EXIF has it, 1 to 8; 1 also for what cannot be read or is no such number: it turns nothing."""
    try:
        orientation = int(file.getexif().get(ExifTags.Base.Orientation, UPRIGHT))
    except (*READ_ERRORS, TypeError, LookupError, struct.error):
        return UPRIGHT
    return orientation if 1 <= orientation <= 8 else UPRIGHT


def _require_checksums(path: Path) -> None:
    """Decoding alone takes a flipped bit of a PNG for another picture: pillow compares checksums only when asked."""
    with Image.open(path) as file:
        file.verify()


def _unreadable(path: Path, error: BaseException) -> str:
    """Without the file's name: the sentence is kept for all files of these bytes."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    try:
        if path.stat().st_size == 0:
            return "the file is empty"
    except OSError:
        pass
    if isinstance(error, UnidentifiedImageError):
        return "not a picture of any format that can be read"
    return f"not a picture that can be read ({error})"
