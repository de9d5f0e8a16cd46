"""Files to pixels, with what is wrong where that fails."""

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

UPRIGHT = 1  # EXIF's orientation of a picture that needs no turning


class Decoded(NamedTuple):
    pixels: np.ndarray  # uint8, (H, W, 3) RGB or (H, W) raw ids
    format: str
    mode: str  # before conversion
    orientation: int


def decode(path: Path, listed: str, max_megapixels: float, classes: ClassTable | None) -> Decoded | Problem:
    """The pixels of a picture as RGB, or the raw ids of a mask.

    Args:
        classes: of a mask; None for an image.
        listed: SHA-256 that the file must have; empty: any. It is compared after decoding, because what is measured is
            kept under it: a file that was rewritten meanwhile is still another one then.
    """
    found = _decode(path, max_megapixels, classes)
    unreadable = isinstance(found, Problem) and found.kind == "unreadable"
    if listed and not unreadable and sha256(path) != listed:
        return Problem("changed", "changed since the dataset was prepared; run the prepare stage again")
    return found


def _decode(path: Path, max_megapixels: float, classes: ClassTable | None) -> Decoded | Problem:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # opening a pipe waits for somebody to write into it
            return Problem("unreadable", "no file, but a folder, a pipe or a device")
        if not status.st_size:
            return Problem("unreadable", "the file is empty")
        with Image.open(path) as file:
            modes = MASK_MODES if classes else ()
            return _header_problem(file, max_megapixels, modes) or _pixels(path, file, modes, classes)
    except DatasetError as error:
        return Problem("colors", str(error))
    except Image.DecompressionBombError as error:
        return Problem("too_large", f"the header claims more pixels than pillow decodes ({error})")
    except UnidentifiedImageError:
        return Problem("unreadable", "not a picture of any format that can be read")
    except READ_ERRORS as error:  # without the file's name: the sentence is kept for all files of these bytes
        return Problem("unreadable", getattr(error, "strerror", "") or f"not a picture that can be read ({error})")


def _header_problem(file: Image.Image, max_megapixels: float, mask_modes: Collection[str]) -> Problem | None:
    """What the header says against decoding the rest: a small file can claim to hold any number of pixels."""
    width, height = file.size
    if file.format == "EPS":  # pillow would hand it to Ghostscript, where that is installed
        return Problem("unreadable", "an EPS file is a program that draws; convert it to PNG")
    if width * height > max_megapixels * 1e6:
        return Problem("too_large", f"{width} x {height} pixels are more than {max_megapixels} million")
    if file.format != "MPO" and getattr(file, "is_animated", False):  # a camera's MPO is a photograph with previews
        return Problem("mode", "an animation, or several pages or layers; save the one picture that is meant")
    if complaint := wrong_mode(file, mask_modes):
        return Problem("mode", complaint)
    return None


def _pixels(
    path: Path, file: Image.Image, mask_modes: Collection[str], classes: ClassTable | None
) -> Decoded | Problem:
    kind, original = file.format or "", file.mode
    orientation = _orientation(file)
    try:
        if kind == "PNG":  # pillow compares checksums only when asked: else a flipped bit is another picture
            with Image.open(path) as again:
                again.verify()
        pixels = stored_pixels(file, mask_modes)
    except READ_ERRORS as error:
        promised = f"the header promises {file.width} x {file.height} pixels of {kind}"
        return Problem("truncated", f"{promised}, the pixels cannot be read: {error}")
    if classes and pixels.ndim == 3:
        pixels = classes.to_raw_ids(pixels)
    return Decoded(pixels, kind, original, orientation)


def _orientation(file: Image.Image) -> int:
    """As EXIF has it, 1 to 8; 1 also for what cannot be read or is no such number: it turns nothing."""
    try:
        orientation = int(file.getexif().get(ExifTags.Base.Orientation, UPRIGHT))
    except (*READ_ERRORS, TypeError, LookupError, struct.error):
        return UPRIGHT
    return orientation if 1 <= orientation <= 8 else UPRIGHT
