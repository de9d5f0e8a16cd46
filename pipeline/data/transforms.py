"""What training does to an image and its labels together: random scale, crop, flip; and what to do to the colors.

The order and the ranges are mmseg's (the field's common recipe). All randomness comes from the generator passed in.
The colors are changed in batch, on the device that trains (pipeline/data/distortion.py).
"""

from dataclasses import dataclass

import cv2
import numpy as np

from pipeline.data.classes import IGNORE_INDEX
from pipeline.data.distortion import NEUTRAL

CROP_ATTEMPTS = 10


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Ranges of the random changes; the parameter file explains each."""

    crop_height: int
    crop_width: int
    scale_min: float
    scale_max: float
    flip_probability: float
    brightness: float
    contrast: float
    saturation: float
    hue: float
    max_class_share: float

    def __call__(
        self, image: np.ndarray, labels: np.ndarray, random: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """uint8 (H, W, 3) and (H, W) in; the same of size crop_height x crop_width out, and what `distort` takes."""
        image, labels = self._scale(image, labels, random.uniform(self.scale_min, self.scale_max))
        image, labels = self._crop(image, labels, random)
        if random.random() < self.flip_probability:
            image, labels = image[:, ::-1], labels[:, ::-1]
        return np.ascontiguousarray(image), np.ascontiguousarray(labels), self._distortion(random)

    def _scale(self, image: np.ndarray, labels: np.ndarray, factor: float) -> tuple[np.ndarray, np.ndarray]:
        height, width = (max(1, round(side * factor)) for side in labels.shape)
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
        return image, cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST)

    def _crop(
        self, image: np.ndarray, labels: np.ndarray, random: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """A random window; where one class fills too much of it, another is drawn."""
        image, labels = self._pad(image, labels)
        height, width = labels.shape
        window = (slice(0, self.crop_height), slice(0, self.crop_width))
        for _ in range(CROP_ATTEMPTS):
            top = int(random.integers(height - self.crop_height + 1))
            left = int(random.integers(width - self.crop_width + 1))
            window = (slice(top, top + self.crop_height), slice(left, left + self.crop_width))
            counts = np.bincount(labels[window].ravel(), minlength=256)[:IGNORE_INDEX]
            if counts.max() <= self.max_class_share * counts.sum():
                break
        return image[window], labels[window]

    def _pad(self, image: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rows, columns = self.crop_height - labels.shape[0], self.crop_width - labels.shape[1]
        if rows <= 0 and columns <= 0:
            return image, labels
        edges = ((0, max(0, rows)), (0, max(0, columns)))
        return np.pad(image, (*edges, (0, 0))), np.pad(labels, edges, constant_values=IGNORE_INDEX)

    def _distortion(self, random: np.random.Generator) -> np.ndarray:
        """Brightness, contrast, saturation, hue, each with probability one half."""
        chosen = random.random(4) < 0.5
        strength = random.uniform(-1.0, 1.0, size=4) * (self.brightness, self.contrast, self.saturation, self.hue)
        return np.where(chosen, NEUTRAL + strength, NEUTRAL).astype(np.float32)
