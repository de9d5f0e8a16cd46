"""Read images and masks from disk into arrays.

If a list has the SHA-256 of a file, other bytes are an error: if the dataset changed during a run, nobody could
reproduce the results.
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
"""The errors that pillow raises for files that are damaged, truncated, hostile or not images."""


ID_MODES = ("L", "P")
MASK_MODES = (*ID_MODES, "RGB", "RGBA")  # colors need a class table, which has their ids


class ImageError(DatasetError):
    """An image or mask file is missing, damaged, not an image, not as listed, or has an unusable pixel format."""


def read_image(path: Path, listed: str = "") -> np.ndarray:
    """Decode an image to uint8 (H, W, 3) RGB; `listed` is the SHA-256 that the file must have (empty: any)."""
    return _decode(path, listed, ())


def read_mask(path: Path, listed: str = "", classes: ClassTable | None = None) -> np.ndarray:
    """Decode a mask to raw ids, uint8 (H, W): palette indices or grey values as they are stored.

    With a class table, masks of colors can be read, too. Raises ImageError for colors that are not in the table.
    """
    pixels = _decode(path, listed, MASK_MODES if classes else ID_MODES)
    if classes is None or pixels.ndim == 2:
        return pixels
    try:
        return classes.to_raw_ids(pixels)
    except DatasetError as error:
        raise ImageError(f"{path} has {error}") from error


def image_size(path: Path) -> tuple[int, int]:
    """Read (width, height) from the header of an image; raise ImageError if it is missing or not an image."""
    try:
        with Image.open(path) as file:
            return file.size
    except READ_ERRORS as error:
        raise ImageError(f"{path} cannot be read: {error}") from error


def wrong_mode(file: Image.Image, mask_modes: Collection[str]) -> str:
    """Return what is wrong with a file's pixel format, or an empty text; `mask_modes` is empty for an image."""
    if mask_modes and file.mode not in mask_modes:
        return f"pixel format {file.mode}; save the mask with 8 bits a channel ({', '.join(mask_modes)})"
    if file.mode.startswith(("I", "F")):  # pillow would silently clip them to 255
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
    except UnidentifiedImageError as error:  # pillow's message names a memory address
        raise ImageError(f"{path} cannot be read: pillow does not know its format; save it as PNG") from error
    except READ_ERRORS as error:
        raise ImageError(f"{path} cannot be read: {error}") from error


def _listed_bytes(path: Path, listed: str) -> io.BytesIO:
    """Read a file once, so that the hashed bytes are decoded even if another process writes to the file."""
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != listed:
        raise ImageError(
            f"{path} has changed since the dataset was prepared: its SHA-256 is {found[:12]}..., the sample list has "
            f"{listed[:12]}... Restore the old file, or prepare the new one with `dvc repro` (if that finds nothing to "
            f"do: `dvc repro --force prepare`)"
        )
    return io.BytesIO(content)


def read_labels(sample: Sample, classes: ClassTable) -> np.ndarray:
    """Read the train ids of a sample, uint8 (H, W); all IGNORE_INDEX if it has no mask."""
    if sample.mask is None:
        width, height = image_size(sample.image)
        return np.full((height, width), IGNORE_INDEX, dtype=np.uint8)
    return read_train_ids(sample.mask, classes, sample.mask_sha256)


def read_train_ids(mask: Path, classes: ClassTable, listed: str = "") -> np.ndarray:
    """Read the train ids of a mask of the dataset, uint8 (H, W); `listed` is as in `read_image`."""
    return classes.to_train_ids(read_mask(mask, listed, classes))


def write_mask(path: Path, mask: np.ndarray) -> None:
    """Write uint8 (H, W) as an 8-bit PNG to `path`, a temporary name with any suffix."""
    Image.fromarray(mask).save(path, format="PNG", compress_level=1)
