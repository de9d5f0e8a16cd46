"""Turn an image file into the graph's input, and the graph's labels into the image's, as preprocessing.json says.

Resizing uses integers, so that every runtime and every language gets the same bytes. Needs numpy and pillow.
"""

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from segdistill_runtime.errors import FileRefused

DEEP = ("I", "F")
"""Pixel formats of 16 and 32 bits: pillow would silently clip them to 255."""


def read_image(path: Path) -> np.ndarray:
    """Decode an image file, turned as its EXIF orientation says, to uint8 (H, W, 3) RGB; raises FileRefused."""
    try:
        with Image.open(path) as file:
            if file.mode.startswith(DEEP):
                raise FileRefused(f"{path} has pixel format {file.mode}; convert it to 8 bits a channel")
            return np.array(ImageOps.exif_transpose(file).convert("RGB"))
    except (OSError, SyntaxError, ValueError, RuntimeError, Image.DecompressionBombError) as error:
        raise FileRefused(f"{path} cannot be read as an image: {error}") from error


def decode(name: str, data: bytes) -> np.ndarray:
    """Decode a PNG of a bundle unchanged, to uint8 (H, W, 3) RGB or (H, W); raises FileRefused."""
    try:
        with Image.open(io.BytesIO(data)) as file:
            return np.array(file)
    except (OSError, SyntaxError, ValueError) as error:
        raise FileRefused(f"{name} of this bundle cannot be read as an image: {error}") from error


class Resizing(NamedTuple):
    """Resizes an image of any size to the graph's size, and the graph's labels back to the size of the image."""

    height: int  # pixels, of the graph
    width: int
    mode: str  # a key of RESIZE_MODES

    @property
    def size(self) -> tuple[int, int]:
        """Return (height, width) of the graph."""
        return self.height, self.width

    def apply(self, image: np.ndarray) -> np.ndarray:
        """Turn uint8 (h, w, 3) into uint8 (height, width, 3); an image of the graph's size is returned as it is."""
        rows, columns = self._place(*image.shape[:2])
        resized = resize(image, rows.stop - rows.start, columns.stop - columns.start)
        if resized.shape[:2] == self.size:
            return resized
        padded = np.zeros((*self.size, 3), np.uint8)  # black, as training pads its crops
        padded[rows, columns] = resized
        return padded

    def undo(self, labels: np.ndarray, height: int, width: int) -> np.ndarray:
        """Turn labels (self.height, self.width) into labels of the original image, (height, width)."""
        return resize_labels(labels[self._place(height, width)], height, width)

    def segment(self, run: Callable[[np.ndarray], np.ndarray], images: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return train ids, uint8 (h, w), of images of any sizes, uint8 (h, w, 3) RGB.

        Args:
            run: turns images of the graph's size, uint8 (n, H, W, 3), into train ids, uint8 (n, H, W).
        """
        labels = run(np.stack([self.apply(image) for image in images]))
        return [self.undo(found, *image.shape[:2]) for found, image in zip(labels, images, strict=True)]

    def _place(self, height: int, width: int) -> tuple[slice, slice]:
        """Return the rows and columns of the graph's image that an image of `height` x `width` pixels fills."""
        if self.mode == "stretch":
            return slice(0, self.height), slice(0, self.width)
        tall = height * self.width >= width * self.height  # the image fills all rows
        rows = self.height if tall else max(1, (2 * height * self.width + width) // (2 * width))
        columns = self.width if not tall else max(1, (2 * width * self.height + height) // (2 * height))
        top, left = (self.height - rows) // 2, (self.width - columns) // 2
        return slice(top, top + rows), slice(left, left + columns)


def resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize bilinearly with half-pixel centers, without antialiasing: uint8 (h, w, 3) to uint8 (height, width, 3).

    Each pixel is the exact value, rounded half up. It is a weighted sum of four pixels. The weights are fractions with
    the denominators 2 * height and 2 * width, so integers represent the sum exactly.
    """
    if image.shape[:2] == (height, width):
        return image
    top, bottom, down = _neighbors(image.shape[0], height)
    left, right, across = _neighbors(image.shape[1], width)
    down, across = down[:, None, None], across[None, :, None]
    rows = image[top] * (2 * height - down) + image[bottom] * down  # int64, as the weights
    total = rows[:, left] * (2 * width - across) + rows[:, right] * across
    denominator = 4 * height * width
    return ((total + denominator // 2) // denominator).astype(np.uint8)


def _neighbors(source: int, target: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return, for each of `target` pixels, the two source pixels around its center and the weight of the second.

    The center of pixel i lies at ((2 i + 1) source - target) / (2 target), clamped to the centers of the border
    pixels. The weight is in units of 1 / (2 target).
    """
    position = np.maximum((2 * np.arange(target, dtype=np.int64) + 1) * source - target, 0)
    first = position // (2 * target)
    second = np.minimum(first + 1, source - 1)
    return first, second, position % (2 * target)


def resize_labels(labels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize labels of any type from (h, w) to (height, width) by nearest neighbor.

    Each target pixel gets the source pixel that contains its center.
    """
    if labels.shape == (height, width):
        return labels
    down = (2 * np.arange(height, dtype=np.int64) + 1) * labels.shape[0] // (2 * height)
    across = (2 * np.arange(width, dtype=np.int64) + 1) * labels.shape[1] // (2 * width)
    return labels[down][:, across]
