"""From an image file to what the graph takes, and from its labels back: preprocessing.json in code.

The resize is done in whole numbers, so that every runtime and every language gets the same bytes. Needs numpy and
pillow.
"""

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from segdistill_runtime.errors import FileRefused

DEEP = ("I", "F")
"""Pixel formats of 16 and 32 bits: pillow would clip them to 255 without a word."""


def read_image(path: Path) -> np.ndarray:
    """Decode a picture, turned the way its EXIF orientation says: uint8 (H, W, 3) RGB; FileRefused if it is none."""
    try:
        with Image.open(path) as file:
            if file.mode.startswith(DEEP):
                raise FileRefused(f"{path} has pixel format {file.mode}; convert it to 8 bits a channel")
            return np.array(ImageOps.exif_transpose(file).convert("RGB"))
    except (OSError, SyntaxError, ValueError, RuntimeError, Image.DecompressionBombError) as error:
        raise FileRefused(f"{path} cannot be read as an image: {error}") from error


def decode(name: str, data: bytes) -> np.ndarray:
    """Decode a PNG of a bundle as it is: uint8 (H, W, 3) RGB, or (H, W). Raises FileRefused if it is no image."""
    try:
        with Image.open(io.BytesIO(data)) as file:
            return np.array(file)
    except (OSError, SyntaxError, ValueError) as error:
        raise FileRefused(f"{name} of this bundle cannot be read as an image: {error}") from error


def resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bilinear with half-pixel centers and without antialiasing, uint8 (h, w, 3) to uint8 (height, width, 3).

    The exact value of each pixel, rounded half up: a sum of four pixels with weights that are fractions with the
    denominators 2 * height and 2 * width, so nothing is lost in integers.
    """
    if image.shape[:2] == (height, width):
        return image
    top, bottom, down = _neighbors(image.shape[0], height)
    left, right, across = _neighbors(image.shape[1], width)
    pixels = image.astype(np.int64)
    down, across = down[:, None, None], across[None, :, None]
    rows = pixels[top] * (2 * height - down) + pixels[bottom] * down
    total = rows[:, left] * (2 * width - across) + rows[:, right] * across
    denominator = 4 * height * width
    return ((total + denominator // 2) // denominator).astype(np.uint8)


def _neighbors(source: int, target: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each of `target` pixels the two source pixels around its center, and the weight of the second.

    The center of pixel i lies at ((2 i + 1) source - target) / (2 target), not beyond the centers of the pixels at
    the borders. The weight is in units of 1 / (2 target).
    """
    position = np.maximum((2 * np.arange(target, dtype=np.int64) + 1) * source - target, 0)
    first = position // (2 * target)
    second = np.minimum(first + 1, source - 1)
    return first, second, position % (2 * target)


def resize_labels(labels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Nearest neighbor, uint8 (h, w) to uint8 (height, width): the source pixel that holds the target's center."""
    down = (2 * np.arange(height, dtype=np.int64) + 1) * labels.shape[0] // (2 * height)
    across = (2 * np.arange(width, dtype=np.int64) + 1) * labels.shape[1] // (2 * width)
    return labels[down][:, across]
