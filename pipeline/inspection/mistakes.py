"""Likely mistakes of the label: connected regions in which a sure teacher says something else.

A pixel where the teacher disagrees with confidence says little: there are such pixels along every outline. A whole
region of them, deeper than outlines are inexact, says that somebody filled it with the wrong class.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from pipeline.data.boundaries import disc_of
from pipeline.data.classes import IGNORE_INDEX
from pipeline.inspection.records import Mistake
from pipeline.inspection.teacher import TeacherOutput


def find_mistakes(
    output: TeacherOutput,
    labels: np.ndarray,
    names: Sequence[str],
    min_confidence: float,
    min_region_pixels: int,
    boundary_pixels: int,
) -> list[Mistake]:
    """Regions of one label where the teacher predicts one other class with confidence, the highest score first.

    Pixels of a region touch at a side or a corner. Its score is the sum of confidence - label_probability over its
    inner pixels, divided by the number of labelled pixels of the sample: 0..1. A region without inner pixels is none.

    Args:
        labels: train ids, uint8 (H, W).
        names: of the classes.
        min_confidence: of the teacher in each pixel, 0..1.
        min_region_pixels: smaller regions are left out.
        boundary_pixels: an inner pixel is further than this from any where label or prediction is another. So a wrong
            outline, long as it may be, has none. What is unsure is no part of a region but does not bound it.
    """
    labelled = labels != IGNORE_INDEX
    pairs = 256 * labels.astype(np.uint16) + output.prediction
    sure = labelled & (output.prediction != labels) & (output.confidence >= min_confidence)
    inner = sure & _inside(pairs, boundary_pixels)
    margin = np.where(inner, output.confidence - output.label_probability, 0).astype(np.float64)
    mistakes = []
    for pair in np.unique(pairs[inner]):
        label, prediction = divmod(int(pair), 256)
        count, regions, boxes, _ = cv2.connectedComponentsWithStats(
            (sure & (pairs == pair)).astype(np.uint8), connectivity=8
        )
        scores = np.bincount(regions.ravel(), weights=margin.ravel(), minlength=count) / labelled.sum()
        for region in range(1, count):  # 0 is the rest of the image
            left, top, width, height, pixels = boxes[region].tolist()
            if pixels >= min_region_pixels and scores[region] > 0:
                score, box = float(scores[region]), (left, top, width, height)
                mistakes.append(
                    Mistake(label=names[label], prediction=names[prediction], pixels=pixels, score=score, box=box)
                )
    return sorted(mistakes, key=lambda mistake: (-mistake.score, mistake.box))


def mistake_score(mistakes: Sequence[Mistake], labels: np.ndarray) -> float | None:
    """That of the worst region, 0..1; 0 without any, None where nothing is labelled."""
    if (labels == IGNORE_INDEX).all():
        return None
    return max((mistake.score for mistake in mistakes), default=0.0)


def _inside(values: np.ndarray, pixels: int) -> np.ndarray:
    """Whether all values (H, W) at most `pixels` away are the same, bool (H, W); the image's edge bounds nothing."""
    disc = disc_of(pixels)
    return cv2.erode(values, disc) == cv2.dilate(values, disc)
