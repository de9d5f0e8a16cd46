"""What a teacher and a label say about one sample, as numbers; and where samples lie among each other."""

import numpy as np
from jaxtyping import Float
from torch import Tensor

from pipeline.data.boundaries import near_boundary
from pipeline.data.classes import IGNORE_INDEX

AXES = 2  # of a plot


def relative_entropy(logits: Float[Tensor, "k H W"]) -> Float[Tensor, "H W"]:
    """How unsure a network is in each pixel: the entropy of its softmax, 0 (sure) to 1 (all classes alike).

    In units of ln k, the largest entropy that k classes can have.
    """
    log_probabilities = logits.log_softmax(dim=0)
    entropy = -(log_probabilities.exp() * log_probabilities).sum(dim=0)
    return entropy / np.log(len(logits))


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
