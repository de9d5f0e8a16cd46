"""What the page says beside the charts: dataset shares, frequent confusions, and reasons as numbered notes."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from pipeline.data.samples import SPLITS
from pipeline.inspection.records import InspectedSample
from pipeline.reporting.material import Material, Run
from pipeline.reporting.records import Engine, Statistics

MOST_CONFUSED = 3


class Confused(NamedTuple):
    """Pixels of one class that were taken for another."""

    label: str
    prediction: str
    share: float  # of the label's pixels, 0..1


class EngineRow(NamedTuple):
    """One engine; `note` is the number of its reason, None without one."""

    engine: Engine
    note: int | None


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


def engine_rows(runs: Sequence[Run]) -> tuple[dict[str, list[EngineRow]], list[str]]:
    """Engines by run, and their different reasons: most engines of a machine share one, so each is told once."""
    reasons: list[str] = []
    rows: dict[str, list[EngineRow]] = {run.name: [] for run in runs}
    for run in runs:
        for engine in run.engines.engines:
            if engine.reason and engine.reason not in reasons:
                reasons.append(engine.reason)
            rows[run.name].append(EngineRow(engine, reasons.index(engine.reason) + 1 if engine.reason else None))
    return rows, reasons


def machines(material: Material) -> list[tuple[list[str], dict[str, str | int | float | None]]]:
    """The machines that measured latency, each with its runs; more than one means that latencies do not compare."""
    found: list[tuple[list[str], dict[str, str | int | float | None]]] = []
    for run in material.runs.values():
        for names, machine in found:
            if machine == run.profile.machine:
                names.append(run.name)
                break
        else:
            found.append(([run.name], run.profile.machine))
    return found
