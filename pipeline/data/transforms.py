"""What training does to an image and its labels together: random scale, crop, flip; and what to do to the colors.

The order and the ranges are mmseg's (the field's common recipe). All randomness comes from the generator passed in.
The colors are changed in batch, on the device that trains (pipeline/data/distortion.py).
"""

import cv2
import numpy as np

from pipeline.data.classes import IGNORE_INDEX
from pipeline.data.distortion import NEUTRAL
from pipeline.params.training import TrainingParams

CROP_ATTEMPTS = 10


def augment(
    image: np.ndarray, labels: np.ndarray, training: TrainingParams, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """uint8 (H, W, 3) and (H, W) in; the same of size crop_height x crop_width out, and what `distort` takes."""
    low, high = training.image_scale * training.scale_min, training.image_scale * training.scale_max
    image, labels = _scale(image, labels, random.uniform(low, high))
    image, labels = _crop(image, labels, training, random)
    if random.random() < training.flip_probability:
        image, labels = image[:, ::-1], labels[:, ::-1]
    chosen = random.random(4) < 0.5  # each distortion with probability one half
    largest = (training.brightness, training.contrast, training.saturation, training.hue)
    distortion = np.where(chosen, NEUTRAL + random.uniform(-1.0, 1.0, size=4) * largest, NEUTRAL)
    return np.ascontiguousarray(image), np.ascontiguousarray(labels), distortion.astype(np.float32)


def _scale(image: np.ndarray, labels: np.ndarray, factor: float) -> tuple[np.ndarray, np.ndarray]:
    height, width = (max(1, round(side * factor)) for side in labels.shape)
    image = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    return image, cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST)


def _crop(
    image: np.ndarray, labels: np.ndarray, training: TrainingParams, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A random window, padded where the image is smaller; where one class fills too much of it, another is drawn."""
    crop_height, crop_width = training.crop_height, training.crop_width
    missing = [(0, max(0, crop_height - labels.shape[0])), (0, max(0, crop_width - labels.shape[1]))]
    if np.any(missing):
        image, labels = np.pad(image, [*missing, (0, 0)]), np.pad(labels, missing, constant_values=IGNORE_INDEX)
    window = (slice(0, crop_height), slice(0, crop_width))
    for _ in range(CROP_ATTEMPTS):
        top = int(random.integers(labels.shape[0] - crop_height + 1))
        left = int(random.integers(labels.shape[1] - crop_width + 1))
        window = (slice(top, top + crop_height), slice(left, left + crop_width))
        counts = np.bincount(labels[window].ravel(), minlength=256)[:IGNORE_INDEX]
        if counts.max() <= training.max_class_share * counts.sum():
            break
    return image[window], labels[window]
