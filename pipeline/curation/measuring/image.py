"""What is measured of an image."""

import cv2
import numpy as np

from pipeline.curation.measuring.decode import Decoded, digest
from pipeline.curation.measuring.record import THUMBNAIL_SIDE, ImageMeasurement

FLAT = 1e-3
"""Contrast, as a root mean square in grey values, below which a thumbnail shows nothing."""

BLACK, WHITE = 5, 250
"""Up to the one a grey value is all but black, from the other on all but white."""

BLUR_TAPS = 11
"""Crété's low-pass filter, pixels; the paper has 9, its widely used form 11."""

LARGEST_SIDE = 1024
"""Blur is judged at this size at most, as one sees a picture on a screen."""


def measure_image(decoded: Decoded) -> ImageMeasurement:
    image = decoded.pixels
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return ImageMeasurement(
        size=(image.shape[0], image.shape[1]),
        format=decoded.format,
        mode=decoded.mode,
        orientation=decoded.orientation,
        digest=digest(image),
        thumbnail=thumbnail(image),
        contrast=float(grey.std()),
        dark=float((grey <= BLACK).mean()),
        bright=float((grey >= WHITE).mean()),
        blur=blur(grey),
    )


def thumbnail(image: np.ndarray) -> np.ndarray:
    """The look of an image, uint8 (H, W, 3), as a unit vector, float32 (768,).

    Each color channel is centered on its mean and the whole is scaled to length 1, so that neither brightness nor
    contrast nor a color cast changes it. An image of one color has no look: its vector is zero, and far from all.
    """
    small = cv2.resize(image.astype(np.float32), (THUMBNAIL_SIDE, THUMBNAIL_SIDE), interpolation=cv2.INTER_AREA)
    centered = (small - small.mean(axis=(0, 1))).ravel()
    length = float(np.linalg.norm(centered))
    if length < FLAT * np.sqrt(centered.size):
        return np.zeros_like(centered)
    return centered / np.float32(length)


def blur(grey: np.ndarray) -> float:
    """How little a picture, uint8 (H, W), loses when it is blurred once more: 0 sharp, 1 blurred already.

    Crété, Dolmiere, Ladret and Nicolas, "The blur effect", SPIE 2007: the variation between neighbors that a low-pass
    filter along an axis leaves, as a share of what there was; of both axes the larger. A flat picture is not blurred.
    """
    shrink = LARGEST_SIDE / max(grey.shape)
    if shrink < 1:
        height, width = (max(1, round(side * shrink)) for side in grey.shape)
        grey = cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA)
    picture = grey.astype(np.float32)
    left = []
    for axis, kernel in ((0, (1, BLUR_TAPS)), (1, (BLUR_TAPS, 1))):
        smooth = cv2.blur(picture, kernel, borderType=cv2.BORDER_REFLECT)
        variation = np.abs(np.diff(picture, axis=axis))
        lost = np.maximum(variation - np.abs(np.diff(smooth, axis=axis)), 0)
        total = float(variation.sum())
        left.append((total - float(lost.sum())) / total if total else 0.0)
    return max(left)
