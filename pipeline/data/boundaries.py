"""Where one class ends and another begins."""

import cv2
import numpy as np

from pipeline.data.classes import IGNORE_INDEX


def near_boundary(labels: np.ndarray, pixels: int) -> np.ndarray:
    """Whether a pixel with another label is at most `pixels` away (Euclidean), bool (H, W).

    What is not labelled has no boundary and makes none.
    """
    labelled = labels != IGNORE_INDEX
    disc = disc_of(pixels)
    # All labels around a pixel are its own if the largest and the smallest are. Neither may be one that is none.
    largest = cv2.dilate(np.where(labelled, labels + 1, 0).astype(np.uint8), disc)
    smallest = cv2.erode(labels, disc)
    return labelled & ((largest != labels + 1) | (smallest != labels))


def disc_of(radius: int) -> np.ndarray:
    """All offsets that are at most `radius` long, uint8 (2 radius + 1, 2 radius + 1): a shape for cv2's morphology."""
    offset = np.arange(-radius, radius + 1)
    return (offset**2 + offset[:, None] ** 2 <= radius**2).astype(np.uint8)
