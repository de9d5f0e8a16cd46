"""Measure an image: its look, exposure and blur. Measure a mask: its ids, noise along its borders, and its place."""

import hashlib

import cv2
import numpy as np

from pipeline.curation.measuring.decode import Decoded
from pipeline.curation.measuring.record import Alignment, ImageMeasurement, MaskMeasurement
from pipeline.data.boundaries import disc_of, near_boundary

THUMBNAIL_SIDE = 16  # coarse enough to forgive recompression, fine enough to tell two corners apart
FLAT = 1e-3  # contrast, as a root mean square in grey values, below which a thumbnail shows nothing
BLACK, WHITE = 5, 250  # up to the one a grey value is all but black, from the other on all but white
BLUR_TAPS = 11  # Crété's low-pass filter, pixels; the paper has 9, its widely used form 11
LARGEST_SIDE = 1024  # blur is judged at this size at most, as one sees a picture on a screen
SIDE = 256  # of the longer side at which edges are compared: noise and texture are gone, borders are not
REACH = 16  # how far the mask is moved there, in pixels
FEW = 32  # border pixels there below which nothing can be said


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


def measure_mask(decoded: Decoded, image: np.ndarray | None, known: np.ndarray) -> MaskMeasurement:
    """Measure raw ids; `image`, if there is one, and `known` as of `align`."""
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
    """Share of the border pixels of a mask, uint8 (H, W), that a median over 3 x 3 pixels would change; 0..1.

    A smooth border stays as it is, whatever its slope; one that was drawn pixel by pixel, resized or stored with loss
    is frayed, and single pixels vanish. A border pixel is one that differs from a neighbor above, below, left or right.
    """
    border = cv2.morphologyEx(mask, cv2.MORPH_GRADIENT, disc_of(1)) > 0
    return float((cv2.medianBlur(mask, 3) != mask)[border].mean()) if border.any() else 0.0


def align(image: np.ndarray, mask: np.ndarray, known: np.ndarray) -> Alignment:
    """Where the borders of a mask fit the edges of its image best; where they are if it has hardly any.

    The mean edge strength under the borders is computed for every place up to REACH pixels away (a cross-correlation),
    at reduced size.

    Args:
        image: uint8 (H, W, 3).
        mask: raw ids, uint8 (H, W).
        known: which raw ids are a class, bool (256,); a border with anything else is where somebody stopped labelling,
            and need not be seen in the image.
    """
    scale = SIDE / max(mask.shape)
    size = (max(1, round(mask.shape[1] * scale)), max(1, round(mask.shape[0] * scale)))
    small = np.asarray(cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST_EXACT), dtype=np.uint8)
    borders = near_boundary(small, 1, labelled=known[small]).astype(np.float32)  # on both sides, so that it is on none
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
    """Hexadecimal SHA-256 of an array and its shape."""
    return hashlib.sha256(repr(pixels.shape).encode() + np.ascontiguousarray(pixels).tobytes()).hexdigest()
