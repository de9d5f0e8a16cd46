"""Score samples and the predictions of networks; place samples in a plane by the teacher's features."""

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipeline.data.boundaries import near_boundary
from pipeline.data.classes import IGNORE_INDEX
from pipeline.inspection.records import TEACHER, NetworkScores
from pipeline.measure.accuracy import ConfusionMatrix

AXES = 2  # of a plot


class Prediction(NamedTuple):
    """What a network says about a sample."""

    path: Path
    train_ids: np.ndarray  # uint8 (H, W)


def score_networks(
    predictions: Mapping[str, Prediction],
    labels: np.ndarray,
    baselines: Mapping[str, str],
    classes: int,
    boundary_pixels: int,
) -> dict[str, NetworkScores]:
    """Score all predictions of one sample.

    Args:
        predictions: by network; the teacher's is among them.
        labels: train ids, uint8 (H, W).
        baselines: of each network but the teacher; a baseline is its own.
        classes: how many there are.
        boundary_pixels: see boundary_error.
    """
    scores = {name: _alone(prediction, labels, classes, boundary_pixels) for name, prediction in predictions.items()}
    seen = predictions[TEACHER].train_ids
    for name, baseline in baselines.items():
        miou, other = scores[name].miou, scores[baseline].miou
        scores[name] = replace(
            scores[name],
            agreement=agreement(predictions[name].train_ids, seen),
            gain=None if baseline == name or miou is None or other is None else miou - other,
        )
    return scores


def _alone(prediction: Prediction, labels: np.ndarray, classes: int, boundary_pixels: int) -> NetworkScores:
    confusion = ConfusionMatrix(classes)
    confusion.add(labels, prediction.train_ids)
    return NetworkScores(
        prediction=prediction.path.as_posix(),
        miou=_or_none(confusion.miou()),
        pixel_accuracy=_or_none(confusion.pixel_accuracy()),
        boundary_error=boundary_error(prediction.train_ids, labels, boundary_pixels),
        agreement=None,
        gain=None,
    )


def _or_none(share: float) -> float | None:
    return None if math.isnan(share) else share


def hardness(entropy: np.ndarray, labels: np.ndarray) -> float:
    """How unsure the teacher is about a sample, 0..1: mean over its labelled pixels, or over all if none is labelled.

    Args:
        entropy: of each pixel, 0..1 (H, W); see relative_entropy.
        labels: train ids (H, W).
    """
    labelled = labels != IGNORE_INDEX
    return float((entropy[labelled] if labelled.any() else entropy).mean(dtype=np.float64))


def boundary_error(prediction: np.ndarray, labels: np.ndarray, pixels: int) -> float | None:
    """Share of wrong pixels among the labelled ones that lie at a boundary, 0..1; None where there is no boundary.

    That is the evaluation in a trimap (Kohli, Ladický and Torr, IJCV 2009): it sees the outlines that mIoU, in which
    large areas decide, does not.

    Args:
        prediction: train ids (H, W).
        labels: train ids (H, W).
        pixels: of a pixel at a boundary another label is at most so far away.
    """
    band = near_boundary(labels, pixels)
    return float((prediction[band] != labels[band]).mean()) if band.any() else None


def agreement(prediction: np.ndarray, other: np.ndarray) -> float:
    """Share of all pixels with the same class, 0..1; both are train ids (H, W)."""
    return float((prediction == other).mean())


def positions(embeddings: np.ndarray) -> np.ndarray:
    """Where samples lie in the plane in which their embeddings (n, c) differ most, float64 (n, 2).

    The first two principal components. A component may point either way: here its largest loading is positive. Scaled
    so that the mean square of the distances from the center is 1; all 0 where all samples are alike.
    """
    centered = embeddings.astype(np.float64) - embeddings.mean(axis=0, dtype=np.float64)
    _, _, directions = np.linalg.svd(centered, full_matrices=False)
    directions = directions[:AXES]
    strongest = np.abs(directions).argmax(axis=1)
    signs = np.sign(directions[np.arange(len(directions)), strongest])
    plane = np.zeros((len(embeddings), AXES))
    plane[:, : len(directions)] = centered @ (signs[:, None] * directions).T
    spread = np.sqrt((plane**2).sum(axis=1).mean())
    # Alike up to rounding: embeddings have length 1 and are single precision.
    return plane / spread if spread > np.finfo(np.float32).eps else np.zeros_like(plane)
