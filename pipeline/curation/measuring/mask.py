"""What is measured of a mask."""

import cv2
import numpy as np

from pipeline.curation.measuring.decode import Decoded, digest
from pipeline.curation.measuring.record import MaskMeasurement


def measure_mask(decoded: Decoded) -> MaskMeasurement:
    mask = decoded.pixels
    return MaskMeasurement(
        size=(mask.shape[0], mask.shape[1]),
        format=decoded.format,
        digest=digest(mask),
        pixels=np.bincount(mask.ravel(), minlength=256),
        border_noise=border_noise(mask),
    )


def border_noise(mask: np.ndarray) -> float:
    """Share of the border pixels of a mask, uint8 (H, W), that a median over 3 x 3 pixels would change; 0..1.

    A smooth border stays as it is, whatever its slope; one that was drawn pixel by pixel, resized or stored with loss
    is frayed, and single pixels vanish. A border pixel is one that differs from a neighbor above, below, left or right.
    """
    border = np.zeros(mask.shape, dtype=bool)
    for axis in (0, 1):
        step = np.diff(mask, axis=axis) != 0
        border |= np.pad(step, [(0, 1) if axis == a else (0, 0) for a in (0, 1)])
        border |= np.pad(step, [(1, 0) if axis == a else (0, 0) for a in (0, 1)])
    count = int(border.sum())
    return float((cv2.medianBlur(mask, 3) != mask)[border].sum() / count) if count else 0.0
