"""Reading images and masks from disk into arrays.

Where a list says which bytes a file has, those are what is decoded, or nothing: a dataset that changes under a running
pipeline would give results that nobody could make again.
"""

import hashlib
import io
from collections.abc import Collection
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from pipeline.data.classes import IGNORE_INDEX, ClassTable
from pipeline.data.samples import Sample
from pipeline.errors import DatasetError

READ_ERRORS = (OSError, UnidentifiedImageError, SyntaxError, ValueError, RuntimeError, Image.DecompressionBombError)
"""What pillow raises for files that are damaged, truncated, hostile or not images at all."""


ID_MODES = ("L", "P")
MASK_MODES = (*ID_MODES, "RGB", "RGBA")  # with a class table, which says what a color means


class ImageError(DatasetError):
    """An image or mask file is missing, damaged, not an image, not as listed, or has an unusable pixel format."""


def read_image(path: Path, listed: str = "") -> np.ndarray:
    """Decode a picture to uint8 (H, W, 3) RGB; `listed` is the SHA-256 that it must have, if any list says one."""
    return _decode(path, listed, ())


def read_mask(path: Path, listed: str = "", classes: ClassTable | None = None) -> np.ndarray:
    """Decode a mask to raw ids, uint8 (H, W): palette indices or grey values as they are stored.

    With a class table a mask of colors is read too; ImageError if it has others than the table.
    """
    pixels = _decode(path, listed, MASK_MODES if classes else ID_MODES)
    if classes is None or pixels.ndim == 2:
        return pixels
    try:
        return classes.to_raw_ids(pixels)
    except DatasetError as error:
        raise ImageError(f"{path} has {error}") from error


def image_size(path: Path) -> tuple[int, int]:
    """Read (width, height) from the header of a picture; raises ImageError where it is missing or no image."""
    try:
        with Image.open(path) as file:
            return file.size
    except READ_ERRORS as error:
        raise ImageError(f"{path} cannot be read: {error}") from error


def wrong_mode(file: Image.Image, mask_modes: Collection[str]) -> str:
    """Say what is wrong with a picture's pixel format; empty if nothing is. An image has no `mask_modes`."""
    if mask_modes and file.mode not in mask_modes:
        return f"pixel format {file.mode}; a mask has 8 bits a channel ({', '.join(mask_modes)})"
    if file.mode.startswith(("I", "F")):  # pillow would clip them to 255 without a word
        return f"pixel format {file.mode}; convert it to 8 bits a channel"
    return ""


def stored_pixels(file: Image.Image, mask_modes: Collection[str]) -> np.ndarray:
    """Return an image as uint8 (H, W, 3) RGB; a mask as ids (H, W) or colors (H, W, 4), RGBA."""
    if file.mode in ID_MODES and mask_modes:
        return np.array(file)
    return np.array(file.convert("RGBA" if mask_modes else "RGB"))


def _decode(path: Path, listed: str, mask_modes: Collection[str]) -> np.ndarray:
    try:
        with Image.open(_listed_bytes(path, listed) if listed else path) as file:
            if complaint := wrong_mode(file, mask_modes):
                raise ImageError(f"{path} has {complaint}")
            return stored_pixels(file, mask_modes)
    except UnidentifiedImageError as error:  # whose own words name an address in memory
        raise ImageError(f"{path} cannot be read: it is no picture of any format that is known here") from error
    except READ_ERRORS as error:
        raise ImageError(f"{path} cannot be read: {error}") from error


def _listed_bytes(path: Path, listed: str) -> io.BytesIO:
    """Read once: what is decoded is what was hashed, whoever writes to the file meanwhile."""
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != listed:
        raise ImageError(
            f"{path} has changed since the dataset was prepared: its SHA-256 is {found[:12]}..., the sample list says "
            f"{listed[:12]}... Put the old file back, or prepare the new one: `dvc repro`, and where that finds "
            f"nothing to do, `dvc repro --force prepare`"
        )
    return io.BytesIO(content)


def read_labels(sample: Sample, classes: ClassTable) -> np.ndarray:
    """Read the train ids of a sample, uint8 (H, W); all IGNORE_INDEX where it has no mask."""
    if sample.mask is None:
        width, height = image_size(sample.image)
        return np.full((height, width), IGNORE_INDEX, dtype=np.uint8)
    return read_train_ids(sample.mask, classes, sample.mask_sha256)


def read_train_ids(mask: Path, classes: ClassTable, listed: str = "") -> np.ndarray:
    """Read the train ids of a mask of the dataset, uint8 (H, W); `listed` as of `read_image`."""
    return classes.to_train_ids(read_mask(mask, listed, classes))


def write_mask(path: Path, mask: np.ndarray) -> None:
    """Write uint8 (H, W) as an 8-bit PNG to `path`, a temporary name whose suffix does not matter."""
    Image.fromarray(mask).save(path, format="PNG", compress_level=1)
