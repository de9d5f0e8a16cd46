"""Reading images and masks from disk into arrays.

Where a list says which bytes a file has, those are what is decoded, or nothing: a dataset that changes under a running
pipeline would give results that nobody could make again.
"""

import hashlib
import io
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from pipeline.data.classes import IGNORE_INDEX, ClassTable
from pipeline.data.samples import Sample
from pipeline.errors import DatasetError

READ_ERRORS = (OSError, UnidentifiedImageError, SyntaxError, ValueError, RuntimeError, Image.DecompressionBombError)
"""What pillow raises for files that are damaged, truncated, hostile or not images at all."""


class ImageError(DatasetError):
    """An image or mask file is missing, damaged, not an image, not as listed, or has an unusable pixel format."""


def read_image(path: Path, listed: str = "") -> np.ndarray:
    """Decode a picture to uint8 (H, W, 3) RGB; `listed` is the SHA-256 that it must have, if any list says one."""
    return _decode(path, listed, is_mask=False)


def read_mask(path: Path, listed: str = "") -> np.ndarray:
    """Decode a mask of one channel of 8 bits as it is stored, uint8 (H, W): palette indices or grey values."""
    return _decode(path, listed, is_mask=True)


def image_size(path: Path) -> tuple[int, int]:
    """Read (width, height) from the header of a picture; raises ImageError where it is missing or no image."""
    try:
        with Image.open(path) as file:
            return file.size
    except READ_ERRORS as error:
        raise ImageError(f"{path} cannot be read: {error}") from error


def wrong_mode(file: Image.Image, is_mask: bool) -> str:
    """Say what is wrong with a picture's pixel format; empty if nothing is."""
    if is_mask and file.mode not in ("L", "P"):
        return f"pixel format {file.mode}; a mask has one channel of 8 bits (L or P)"
    if not is_mask and file.mode.startswith(("I", "F")):  # pillow would clip them to 255 without a word
        return f"pixel format {file.mode}; convert it to 8 bits a channel"
    return ""


def _decode(path: Path, listed: str, is_mask: bool) -> np.ndarray:
    try:
        with Image.open(_listed_bytes(path, listed) if listed else path) as file:
            if complaint := wrong_mode(file, is_mask):
                raise ImageError(f"{path} has {complaint}")
            return np.array(file if is_mask else file.convert("RGB"))
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
    return classes.to_train_ids(read_mask(mask, listed))


def write_mask(path: Path, mask: np.ndarray) -> None:
    """Write uint8 (H, W) as an 8-bit PNG to `path`, a temporary name whose suffix does not matter."""
    Image.fromarray(mask).save(path, format="PNG", compress_level=1)
