"""Augment an image and its labels for training: random scale, crop and flip, and on the device a change of colors.

The order and the ranges are mmseg's (the field's common recipe). All randomness comes from the generator passed in.
"""

import cv2
import numpy as np
from jaxtyping import Float
from torch import Tensor

from pipeline.data.classes import IGNORE_INDEX
from pipeline.params.training import TrainingParams

CROP_ATTEMPTS = 10
PADDING = (124, 116, 104)  # ImageNet's mean color: normalization turns it into 0, the padding of mmseg and CIRKD

NEUTRAL = (0.0, 1.0, 1.0, 0.0)
"""The distortion that changes nothing: brightness is added (grey values 0..255), contrast and saturation are factors,
hue is added (degrees)."""


def augment(
    image: np.ndarray, labels: np.ndarray, training: TrainingParams, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a random crop of an image, uint8 (H, W, 3), that of its labels, uint8 (H, W), and strengths for `distort`.

    A crop has crop_height x crop_width pixels. The strengths are float32 (4,), in the order of NEUTRAL.
    """
    scale = random.uniform(training.image_scale * training.scale_min, training.image_scale * training.scale_max)
    height, width = (max(1, round(side * scale)) for side in labels.shape)
    image = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    labels = cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST)
    image, labels = _crop(image, labels, training, random)
    if random.random() < training.flip_probability:
        image, labels = image[:, ::-1], labels[:, ::-1]
    chosen = random.random(4) < 0.5  # each distortion with probability one half
    largest = (training.brightness, training.contrast, training.saturation, training.hue)
    distortion = np.where(chosen, NEUTRAL + random.uniform(-1.0, 1.0, size=4) * largest, NEUTRAL)
    return np.ascontiguousarray(image), np.ascontiguousarray(labels), distortion.astype(np.float32)


def _crop(
    image: np.ndarray, labels: np.ndarray, training: TrainingParams, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return a random window, padded if the image is smaller; draw again if it has no label or too much of a class."""
    crop_height, crop_width = training.crop_height, training.crop_width
    missing = [(0, max(0, crop_height - labels.shape[0])), (0, max(0, crop_width - labels.shape[1]))]
    if np.any(missing):
        (_, below), (_, right) = missing
        image = cv2.copyMakeBorder(image, 0, below, 0, right, cv2.BORDER_CONSTANT, value=PADDING)
        labels = np.pad(labels, missing, constant_values=IGNORE_INDEX)
    window = (slice(0, crop_height), slice(0, crop_width))
    for _ in range(CROP_ATTEMPTS):
        top = int(random.integers(labels.shape[0] - crop_height + 1))
        left = int(random.integers(labels.shape[1] - crop_width + 1))
        window = (slice(top, top + crop_height), slice(left, left + crop_width))
        counts = np.bincount(labels[window].ravel(), minlength=256)[:IGNORE_INDEX]
        if 0 < counts.max() <= training.max_class_share * counts.sum():
            break
    return image[window], labels[window]


def distort(image: Float[Tensor, "n 3 H W"], strengths: Float[Tensor, "n 4"]) -> Float[Tensor, "n 3 H W"]:
    """Change the colors of RGB images in 0..1; `strengths` are in the order of NEUTRAL. The result is RGB in 0..1.

    Saturation and hue are those of HSV, but computed without angles. Each channel is the value minus a part of the
    chroma, which follows from the channel's distance to the hue on the circle of six colors.
    """
    brightness, contrast, saturation, hue = (column[:, None, None] for column in strengths.unbind(dim=1))
    shifted = ((image + brightness[:, None] / 255) * contrast[:, None]).clamp_(0, 1)
    red, green, blue = shifted.unbind(dim=1)
    value = shifted.amax(dim=1)
    chroma = value - shifted.amin(dim=1)
    some = chroma.clamp(min=1e-6)  # grey has no hue: what it gets here is multiplied by a chroma of 0
    place = ((blue - red) / some + 2).where(green == value, (red - green) / some + 4)
    place = ((green - blue) / some).where(red == value, place) + hue / 60
    chroma = (chroma * saturation).minimum(value)
    for channel, offset in enumerate((5, 3, 1)):
        near = (place + offset).remainder_(6)
        near = near.minimum(4 - near).clamp_(0, 1)
        shifted[:, channel] = value - chroma * near
    return shifted
