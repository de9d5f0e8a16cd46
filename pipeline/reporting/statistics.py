"""Shares of classes in the dataset, and the most frequent confusions of a network."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pipeline.records.curation import Statistics

MOST_CONFUSED = 3


class Confusion(NamedTuple):
    """Pixels of one class that were predicted as another."""

    label: str
    prediction: str
    share: float  # of the label's pixels, 0..1


def class_shares(statistics: Statistics) -> dict[str, list[float]]:
    """Return the share of labelled pixels of each class in each split that has labels, 0..1."""
    return {
        split: [pixels / sum(entry.pixels) for pixels in entry.pixels]
        for split, entry in statistics.splits.items()
        if any(entry.pixels)
    }


def void_shares(statistics: Statistics) -> dict[str, float | None]:
    """Return the share of unlabelled pixels, 0..1; None for a split without pixels."""
    shares: dict[str, float | None] = {}
    for split, entry in statistics.splits.items():
        total = sum(entry.pixels) + entry.void_pixels
        shares[split] = entry.void_pixels / total if total else None
    return shares


def most_confused(confusion: np.ndarray, names: Sequence[str]) -> list[Confusion]:
    """Return the largest off-diagonal shares of a confusion matrix, (k, k) with rows as labels; never a share of 0."""
    totals = confusion.sum(axis=1, keepdims=True)
    shares = np.divide(confusion, totals, out=np.zeros(confusion.shape), where=totals > 0)
    np.fill_diagonal(shares, 0)
    largest = np.argsort(-shares, axis=None, kind="stable")[:MOST_CONFUSED]
    found = [(*divmod(int(place), len(names)), float(shares.flat[place])) for place in largest]
    return [Confusion(names[row], names[column], share) for row, column, share in found if share]
