"""Decode files to pixels, or return the reason why that fails."""

import stat
import struct
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from pipeline.curation.measuring.record import Problem
from pipeline.data.classes import ClassTable
from pipeline.data.files import sha256
from pipeline.data.images import MASK_MODES, READ_ERRORS, stored_pixels, wrong_mode
from pipeline.errors import DatasetError

UPRIGHT = 1  # EXIF orientation of an image that needs no rotation


class Decoded(NamedTuple):
    pixels: np.ndarray  # uint8, (H, W, 3) RGB or (H, W) raw ids
    format: str
    mode: str  # before conversion
    orientation: int


def decode(path: Path, listed: str, max_megapixels: float, classes: ClassTable | None) -> Decoded | Problem:
    """Return the pixels of an image as RGB or the raw ids of a mask, or the reason why they cannot be decoded.

    Args:
        classes: the class table for a mask; None for an image.
        listed: SHA-256 that the file must have; empty: any. It is compared after decoding, because measurements are
            stored under it: so a file that is rewritten during decoding is noticed.
    """
    found = _decode(path, max_megapixels, classes)
    unreadable = isinstance(found, Problem) and found.kind == "unreadable"
    if listed and not unreadable and sha256(path) != listed:
        return Problem("changed", "changed since the dataset was prepared; run the prepare stage again")
    return found


def _decode(path: Path, max_megapixels: float, classes: ClassTable | None) -> Decoded | Problem:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # opening a pipe blocks until a process writes to it
            return Problem("unreadable", "not a file, but a folder, a pipe or a device")
        if not status.st_size:
            return Problem("unreadable", "the file has 0 bytes")
        with Image.open(path) as file:
            modes = MASK_MODES if classes else ()
            return _header_problem(file, max_megapixels, modes) or _pixels(path, file, modes, classes)
    except DatasetError as error:
        return Problem("colors", str(error))
    except Image.DecompressionBombError as error:
        return Problem("too_large", f"the header claims more pixels than pillow decodes ({error})")
    except UnidentifiedImageError:
        return Problem("unreadable", "pillow does not know this format; save it as PNG or JPEG")
    except READ_ERRORS as error:  # without the file's name: the sentence is stored for all files with these bytes
        return Problem("unreadable", getattr(error, "strerror", "") or f"pillow cannot read it ({error})")


def _header_problem(file: Image.Image, max_megapixels: float, mask_modes: Collection[str]) -> Problem | None:
    """Return why the header forbids decoding, or None; a small file can claim to hold any number of pixels."""
    width, height = file.size
    if file.format == "EPS":  # pillow would run Ghostscript on it, if installed
        return Problem("unreadable", "an EPS file is a program that draws; convert it to PNG")
    if width * height > max_megapixels * 1e6:
        return Problem("too_large", f"{width} x {height} pixels are more than {max_megapixels} million")
    if file.format != "MPO" and getattr(file, "is_animated", False):  # a camera's MPO is a photograph with previews
        return Problem("mode", "an animation, or several pages or layers; save the one image that you need")
    if complaint := wrong_mode(file, mask_modes):
        return Problem("mode", complaint)
    return None


def _pixels(
    path: Path, file: Image.Image, mask_modes: Collection[str], classes: ClassTable | None
) -> Decoded | Problem:
    kind, original = file.format or "", file.mode
    orientation = _orientation(file)
    try:
        if kind == "PNG":  # pillow checks checksums only here; else a flipped bit changes the image unnoticed
            with Image.open(path) as again:
                again.verify()
        pixels = stored_pixels(file, mask_modes)
    except READ_ERRORS as error:
        promised = f"the header promises {file.width} x {file.height} pixels of {kind}"
        return Problem("truncated", f"{promised}, but they cannot be read: {error}")
    if classes and pixels.ndim == 3:
        pixels = classes.to_raw_ids(pixels)
    return Decoded(pixels, kind, original, orientation)


def _orientation(file: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8; 1 (upright) if it cannot be read or is another number."""
    try:
        orientation = int(file.getexif().get(ExifTags.Base.Orientation, UPRIGHT))
    except (*READ_ERRORS, TypeError, LookupError, struct.error):
        return UPRIGHT
    return orientation if 1 <= orientation <= 8 else UPRIGHT
