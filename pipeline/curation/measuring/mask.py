"""Measure a mask: its ids, the noise along its borders, and whether it lies where its image shows edges."""

import cv2
import numpy as np

from pipeline.curation.measuring.decode import Decoded, digest
from pipeline.curation.measuring.record import Alignment, MaskMeasurement

SIDE = 256
"""Pixels of the longer side at which edges are compared: noise and texture are gone, borders are not."""

REACH = 16
"""How far the mask is moved there, in pixels."""

FEW = 32
"""Border pixels there below which nothing can be said."""


CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
"""A pixel and its four neighbors."""


def measure_mask(decoded: Decoded, image: np.ndarray | None, known: np.ndarray) -> MaskMeasurement:
    """Measure raw ids; `image`, if there is one, and `known` as of `align`."""
    mask = decoded.pixels
    fits = image is not None and image.shape[:2] == mask.shape
    return MaskMeasurement(
        size=mask.shape,
        format=decoded.format,
        digest=digest(mask),
        pixels=np.bincount(mask.ravel(), minlength=256),
        border_noise=border_noise(mask),
        shift=align(image, mask, known) if fits else Alignment(),
    )


def border_noise(mask: np.ndarray) -> float:
    """Share of the border pixels of a mask, uint8 (H, W), that a median over 3 x 3 pixels would change; 0..1.

    A smooth border stays as it is, whatever its slope; one that was drawn pixel by pixel, resized or stored with loss
    is frayed, and single pixels vanish. A border pixel is one that differs from a neighbor above, below, left or right.
    """
    border = cv2.morphologyEx(mask, cv2.MORPH_GRADIENT, CROSS) > 0
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
    borders = _borders(cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST_EXACT), known)
    if borders.sum() < FEW:
        return Alignment()
    edges = _edges(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
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


def _borders(mask: np.ndarray, known: np.ndarray) -> np.ndarray:
    """1 where two classes meet, float32 (H, W); on both sides of the border, so that it lies on neither."""
    labelled = known[mask]
    largest = cv2.dilate(np.where(labelled, mask, np.uint8(0)), CROSS)
    smallest = cv2.erode(np.where(labelled, mask, np.uint8(255)), CROSS)
    return (labelled & (largest != smallest)).astype(np.float32)


def _edges(image: np.ndarray) -> np.ndarray:
    """Edge strength, float32 (H, W), its root taken so that a few strong edges do not decide alone."""
    grey = cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), 1.0)
    return np.sqrt(np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)))
