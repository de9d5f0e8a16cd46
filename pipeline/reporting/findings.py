"""What the page says beside the charts of data and quality: shares of classes, frequent confusions."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from pipeline.data.samples import SPLITS
from pipeline.inspection.records import InspectedSample
from pipeline.reporting.records import Statistics

MOST_CONFUSED = 3


class Confused(NamedTuple):
    """Pixels of one class that were taken for another."""

    label: str
    prediction: str
    share: float  # of the label's pixels, 0..1


def class_shares(statistics: Statistics) -> dict[str, list[float]]:
    """Share of labelled pixels for each class in each split that has labels, 0..1."""
    return {
        split: [pixels / sum(entry.pixels) for pixels in entry.pixels]
        for split, entry in statistics.splits.items()
        if any(entry.pixels)
    }


def void_shares(statistics: Statistics) -> dict[str, float | None]:
    """Share of all pixels that nobody labelled, 0..1; None for a split without pixels."""
    shares: dict[str, float | None] = {}
    for split, entry in statistics.splits.items():
        total = sum(entry.pixels) + entry.void_pixels
        shares[split] = entry.void_pixels / total if total else None
    return shares


def places_by_split(samples: Iterable[InspectedSample]) -> dict[str, list[tuple[float, float]]]:
    """Where the samples of each split lie in the plot of the teacher's features; splits in the order of the stages."""
    places: dict[str, list[tuple[float, float]]] = {split: [] for split in SPLITS}
    for sample in samples:
        if sample.position is not None:
            places[sample.split].append(sample.position)
    return {split: members for split, members in places.items() if members}


def most_confused(confusion: np.ndarray, names: Sequence[str]) -> list[Confused]:
    """The largest off-diagonal shares of a confusion matrix, (k, k) with rows as labels; pairs that occur only."""
    totals = confusion.sum(axis=1, keepdims=True)
    shares = np.divide(confusion, totals, out=np.zeros(confusion.shape), where=totals > 0)
    np.fill_diagonal(shares, 0)
    order = np.argsort(-shares, axis=None, kind="stable")[:MOST_CONFUSED]
    pairs = [(int(flat // len(names)), int(flat % len(names))) for flat in order]
    return [
        Confused(names[row], names[column], shares[row, column]) for row, column in pairs if shares[row, column] > 0
    ]
