"""Find the pixels near boundaries between classes."""

import cv2
import numpy as np

from pipeline.data.classes import IGNORE_INDEX


def near_boundary(labels: np.ndarray, pixels: int, labelled: np.ndarray | None = None) -> np.ndarray:
    """Return for each pixel whether one with another label is at most `pixels` away (Euclidean), bool (H, W).

    Pixels that are not `labelled` (default: IGNORE_INDEX) count as near no boundary, and have none with others.
    """
    counts = labels != IGNORE_INDEX if labelled is None else labelled
    largest = cv2.dilate(np.where(counts, labels, np.uint8(0)), disc_of(pixels))
    smallest = cv2.erode(np.where(counts, labels, np.uint8(255)), disc_of(pixels))
    return counts & (largest != smallest)


def disc_of(radius: int) -> np.ndarray:
    """Return all offsets of at most length `radius`, uint8 (2 radius + 1, 2 radius + 1): a kernel for morphology."""
    offset = np.arange(-radius, radius + 1)
    return (offset**2 + offset[:, None] ** 2 <= radius**2).astype(np.uint8)
