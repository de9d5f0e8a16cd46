"""Reading images and masks from disk into arrays."""

from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from pipeline.errors import SegdistillError

READ_ERRORS = (OSError, UnidentifiedImageError, SyntaxError, ValueError, RuntimeError, Image.DecompressionBombError)
"""What pillow raises for files that are damaged, truncated, hostile or not images at all."""


DEEP = ("I", "F")
"""Pixel formats of 16 and 32 bits: pillow would clip them to 255 without a word."""


class ImageError(SegdistillError):
    """An image or mask file that cannot be used."""


def read_image(path: Path) -> np.ndarray:
    """Decode a picture: uint8 (H, W, 3) RGB.

    Raises:
        ImageError: missing, truncated, damaged, not an image, or with more than 8 bits a channel.
    """
    return _decode(path, "RGB")


def read_mask(path: Path) -> np.ndarray:
    """Decode a mask as it is stored: uint8 (H, W); palette images give their indices.

    Raises:
        ImageError: missing, damaged, or not one channel of 8 bits.
    """
    return _decode(path, None)


def image_size(path: Path) -> tuple[int, int]:
    """(width, height) from the header of a picture, without decoding it.

    Raises:
        ImageError: missing, or not an image.
    """
    try:
        with Image.open(path) as file:
            return file.size
    except READ_ERRORS as error:
        raise ImageError(f"{path} cannot be read: {error}") from error


def _decode(path: Path, mode: str | None) -> np.ndarray:
    try:
        with Image.open(path) as file:
            if mode is None and file.mode not in ("L", "P"):
                raise ImageError(f"mask {path} has pixel format {file.mode}; one channel of 8 bits (L or P) is needed")
            if mode is not None and file.mode.startswith(DEEP):
                raise ImageError(f"{path} has pixel format {file.mode}; convert it to 8 bits a channel")
            return np.array(file if mode is None else file.convert(mode))
    except READ_ERRORS as error:
        raise ImageError(f"{path} cannot be read: {error}") from error


def write_mask(path: Path, mask: np.ndarray) -> None:
    """Write uint8 (H, W) as an 8-bit PNG to `path`, a temporary name whose suffix does not matter."""
    Image.fromarray(mask).save(path, format="PNG", compress_level=1)
