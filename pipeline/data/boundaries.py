"""Where one class ends and another begins."""

import cv2
import numpy as np

from pipeline.data.classes import IGNORE_INDEX


def near_boundary(labels: np.ndarray, pixels: int, labelled: np.ndarray | None = None) -> np.ndarray:
    """Whether a pixel with another label is at most `pixels` away (Euclidean), bool (H, W).

    What is not `labelled` (by default: is IGNORE_INDEX) has no boundary and makes none.
    """
    counts = labels != IGNORE_INDEX if labelled is None else labelled
    largest = cv2.dilate(np.where(counts, labels, np.uint8(0)), disc_of(pixels))
    smallest = cv2.erode(np.where(counts, labels, np.uint8(255)), disc_of(pixels))
    return counts & (largest != smallest)


def disc_of(radius: int) -> np.ndarray:
    """All offsets that are at most `radius` long, uint8 (2 radius + 1, 2 radius + 1): a shape for cv2's morphology."""
    offset = np.arange(-radius, radius + 1)
    return (offset**2 + offset[:, None] ** 2 <= radius**2).astype(np.uint8)
