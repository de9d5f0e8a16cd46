"""Score samples, their labels and the predictions of networks; map samples to a plane by the teacher's features.

Labels and predictions are train ids, uint8 (H, W).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from pipeline.data.boundaries import disc_of, near_boundary
from pipeline.data.classes import IGNORE_INDEX
from pipeline.inspection.records import TEACHER, Mistake, NetworkScores
from pipeline.inspection.teacher import TeacherOutput
from pipeline.measure.accuracy import ConfusionMatrix
from pipeline.params.deployment import InspectionParams

AXES = 2  # of a plot


def score_networks(
    predictions: Mapping[str, tuple[Path, np.ndarray]],
    labels: np.ndarray,
    baselines: Mapping[str, str],
    classes: int,
    boundary_pixels: int,
) -> dict[str, NetworkScores]:
    """Score all predictions of one sample; `predictions` has file and train ids by network, including the teacher.

    `baselines` has the baseline of each network except the teacher; the baseline of a baseline is itself.
    """
    is_labelled = bool((labels != IGNORE_INDEX).any())
    scores: dict[str, NetworkScores] = {}
    for name, (path, prediction) in predictions.items():
        confusion = ConfusionMatrix(classes)
        confusion.add(labels, prediction)
        agreement = float((prediction == predictions[TEACHER][1]).mean())
        scores[name] = NetworkScores(
            prediction=path.as_posix(),
            miou=confusion.miou() if is_labelled else None,
            pixel_accuracy=confusion.pixel_accuracy() if is_labelled else None,
            boundary_error=boundary_error(prediction, labels, boundary_pixels),
            agreement=None if name == TEACHER else agreement,
            gain=None,
        )
    for name, baseline in baselines.items():
        miou, other = scores[name].miou, scores[baseline].miou
        if name != baseline and miou is not None and other is not None:
            scores[name] = replace(scores[name], gain=miou - other)
    return scores


def hardness(entropy: np.ndarray, labels: np.ndarray) -> float:
    """Return how unsure the teacher is, 0..1: the mean of `entropy` (H, W) over labelled pixels, or all if none is."""
    labelled = labels != IGNORE_INDEX
    return float((entropy[labelled] if labelled.any() else entropy).mean(dtype=np.float64))


def boundary_error(prediction: np.ndarray, labels: np.ndarray, pixels: int) -> float | None:
    """Return the share of wrong pixels among the labelled ones at most `pixels` from another label, 0..1.

    None if there is no boundary. This is the evaluation in a trimap (Kohli, Ladický and Torr, IJCV 2009). It measures
    outlines, which hardly change mIoU because large areas dominate it.
    """
    band = near_boundary(labels, pixels)
    return float((prediction[band] != labels[band]).mean()) if band.any() else None


def find_mistakes(
    output: TeacherOutput, labels: np.ndarray, names: Sequence[str], params: InspectionParams
) -> list[Mistake]:
    """Find regions of one label where the teacher predicts one other class with confidence, the highest score first.

    Pixels of a region touch at a side or a corner. Its score is the sum of confidence - label_probability over its
    inner pixels, divided by the number of labelled pixels of the sample: 0..1. An inner pixel is further than
    `boundary_pixels` from any pixel with another label or prediction. A region without inner pixels is not reported,
    so a wrong outline is no mistake, however long it is. Pixels where the teacher is unsure are not part of a region,
    but they are no boundary of it.
    """
    labelled = labels != IGNORE_INDEX
    pairs = 256 * labels.astype(np.uint16) + output.prediction
    sure = labelled & (output.prediction != labels) & (output.confidence >= params.min_confidence)
    disc = disc_of(params.boundary_pixels)
    inner = sure & (cv2.erode(pairs, disc) == cv2.dilate(pairs, disc))  # the edge of the image is no boundary
    margin = np.where(inner, output.confidence - output.label_probability, 0).astype(np.float64)
    mistakes = []
    for pair in np.unique(pairs[inner]):
        label, prediction = (names[train_id] for train_id in divmod(int(pair), 256))
        of_pair = (sure & (pairs == pair)).astype(np.uint8)
        count, regions, boxes, _ = cv2.connectedComponentsWithStats(of_pair, connectivity=8)
        scores = np.bincount(regions.ravel(), weights=margin.ravel(), minlength=count) / labelled.sum()
        for box, score in zip(boxes[1:].tolist(), scores[1:].tolist(), strict=True):  # 0 is the rest of the image
            left, top, width, height, pixels = box
            if pixels >= params.min_region_pixels and score > 0:
                area = (left, top, width, height)
                mistakes.append(Mistake(label=label, prediction=prediction, pixels=pixels, score=score, box=area))
    return sorted(mistakes, key=lambda mistake: (-mistake.score, mistake.box))


def mistake_score(mistakes: Sequence[Mistake], labels: np.ndarray) -> float | None:
    """Return the score of the worst region, 0..1; 0 without a region, None if no pixel is labelled."""
    if (labels == IGNORE_INDEX).all():
        return None
    return max((mistake.score for mistake in mistakes), default=0.0)


def positions(embeddings: np.ndarray) -> np.ndarray:
    """Map samples to the plane in which their embeddings (n, c) differ most, float64 (n, 2).

    The axes are the first two principal components; the sign of each is such that its largest loading is positive. The
    positions are scaled so that the mean square of the distances from the center is 1; all are 0 if all samples are
    alike.
    """
    centered = embeddings.astype(np.float64) - embeddings.mean(axis=0, dtype=np.float64)
    directions = np.linalg.svd(centered, full_matrices=False)[2][:AXES]
    strongest = np.abs(directions).argmax(axis=1)
    signs = np.sign(directions[np.arange(len(directions)), strongest])
    plane = np.zeros((len(embeddings), AXES))
    plane[:, : len(directions)] = centered @ (signs[:, None] * directions).T
    spread = np.sqrt((plane**2).sum(axis=1).mean())
    # A smaller spread is rounding: embeddings have length 1 and are single precision.
    return plane / spread if spread > np.finfo(np.float32).eps else np.zeros_like(plane)
