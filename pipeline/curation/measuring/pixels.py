"""Measure an image (thumbnail, exposure, blur) and a mask (ids, noise along its borders, shift against the image)."""

import hashlib

import cv2
import numpy as np

from pipeline.curation.measuring.decode import Decoded
from pipeline.curation.measuring.record import Alignment, ImageMeasurement, MaskMeasurement
from pipeline.data.boundaries import disc_of, near_boundary

THUMBNAIL_SIDE = 16  # pixels; recompression hardly changes so few, but two places still differ
FLAT = 1e-3  # root mean square contrast in grey values; an image below it counts as one color
BLACK, WHITE = 5, 250  # grey values: a pixel counts as black up to the first, as white from the second
BLUR_TAPS = 11  # pixels of Crété's low-pass filter; the paper has 9, the widely used form 11
LARGEST_SIDE = 1024  # pixels; larger images are shrunk to it to measure blur, as they are to see them on a screen
SIDE = 256  # pixels of the longer side at which edges are compared: noise and texture vanish, borders remain
REACH = 16  # pixels of that size: largest shift of the mask that is tried
FEW = 32  # border pixels at that size: with fewer, no shift is measured


def measure_image(decoded: Decoded) -> ImageMeasurement:
    image = decoded.pixels
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return ImageMeasurement(
        size=(image.shape[0], image.shape[1]),
        format=decoded.format,
        mode=decoded.mode,
        orientation=decoded.orientation,
        digest=_digest(image),
        thumbnail=thumbnail(image),
        contrast=float(grey.std()),
        dark=float((grey <= BLACK).mean()),
        bright=float((grey >= WHITE).mean()),
        blur=blur(grey),
    )


def thumbnail(image: np.ndarray) -> np.ndarray:
    """Return the thumbnail of an image, uint8 (H, W, 3), as a unit vector, float32 (768,).

    Each color channel is centered on its mean, and the vector is scaled to length 1. So brightness, contrast and a
    color cast do not change it. An image of one color gets the zero vector, at distance 1 from all others.
    """
    small = cv2.resize(image.astype(np.float32), (THUMBNAIL_SIDE, THUMBNAIL_SIDE), interpolation=cv2.INTER_AREA)
    centered = (small - small.mean(axis=(0, 1))).ravel()
    length = float(np.linalg.norm(centered))
    if length < FLAT * np.sqrt(centered.size):
        return np.zeros_like(centered)
    return centered / np.float32(length)


def blur(grey: np.ndarray) -> float:
    """Return how blurred an image, uint8 (H, W), is: 0 sharp, 1 blurred. A flat image gets 0.

    Crété, Dolmiere, Ladret and Nicolas, "The blur effect", SPIE 2007: a sharp image changes much if it is blurred once
    more. The measure is the share of the variation between neighbors that remains after a low-pass filter along an
    axis, for the axis where it is larger.
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


def measure_mask(decoded: Decoded, image: np.ndarray | None, known: np.ndarray) -> MaskMeasurement:
    """Measure a mask of raw ids; `image` (None if it cannot be decoded) and `known` are as in `align`."""
    mask = decoded.pixels
    return MaskMeasurement(
        size=mask.shape,
        format=decoded.format,
        digest=_digest(mask),
        pixels=np.bincount(mask.ravel(), minlength=256),
        border_noise=border_noise(mask),
        shift=align(image, mask, known) if image is not None and image.shape[:2] == mask.shape else Alignment(),
    )


def border_noise(mask: np.ndarray) -> float:
    """Return the share of border pixels of a mask, uint8 (H, W), that a median over 3 x 3 pixels would change; 0..1.

    A border pixel differs from a neighbor above, below, left or right. The median keeps a smooth border of any slope.
    It changes a frayed one, which was drawn pixel by pixel, resized or stored with loss, and removes single pixels.
    """
    border = cv2.morphologyEx(mask, cv2.MORPH_GRADIENT, disc_of(1)) > 0
    return float((cv2.medianBlur(mask, 3) != mask)[border].mean()) if border.any() else 0.0


def align(image: np.ndarray, mask: np.ndarray, known: np.ndarray) -> Alignment:
    """Find the shift with which the borders of a mask fit the edges of its image best; none below FEW border pixels.

    At reduced size, the mean edge strength under the borders is computed for every shift of up to REACH pixels (a
    cross-correlation).

    Args:
        image: uint8 (H, W, 3).
        mask: raw ids, uint8 (H, W).
        known: which raw ids are a class, bool (256,). A border with another id does not count: labelling stops there,
            and the image need not have an edge.
    """
    scale = SIDE / max(mask.shape)
    size = (max(1, round(mask.shape[1] * scale)), max(1, round(mask.shape[0] * scale)))
    small = np.asarray(cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST_EXACT), dtype=np.uint8)
    borders = near_boundary(small, 1, labelled=known[small]).astype(np.float32)  # both sides, to favor neither
    if borders.sum() < FEW:
        return Alignment()
    grey = cv2.cvtColor(cv2.resize(image, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    smooth = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), 1.0)
    strength = np.hypot(cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1))
    edges = np.sqrt(strength)  # so that a few strong edges do not decide alone
    around = cv2.copyMakeBorder(edges, REACH, REACH, REACH, REACH, cv2.BORDER_REFLECT)
    strengths = cv2.matchTemplate(around, borders, cv2.TM_CCORR)
    here = float(strengths[REACH, REACH])
    row, column = np.unravel_index(np.argmax(strengths), strengths.shape)
    best = float(strengths[row, column])
    return Alignment(
        right=round((int(column) - REACH) / scale),
        down=round((int(row) - REACH) / scale),
        gain=best / here if here > 0 else 1.0,
    )


def _digest(pixels: np.ndarray) -> str:
    """Return the hexadecimal SHA-256 of an array and its shape."""
    return hashlib.sha256(repr(pixels.shape).encode() + np.ascontiguousarray(pixels).tobytes()).hexdigest()
