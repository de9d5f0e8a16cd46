"""Read the CSV files of other stages."""

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipeline.records.files import damaged, read_bytes


class Curve(NamedTuple):
    """A training curve; arrays have one entry for each logged iteration."""

    iteration: np.ndarray
    task: np.ndarray  # loss on the labels
    distill: np.ndarray | None  # weighted distillation term; None for a baseline
    agreement: np.ndarray | None  # share of cells on which student and teacher agree, 0..1


def read_curve(path: Path, stage: str) -> Curve:
    """Read a training curve; raises ArtifactError if it is missing or damaged."""
    with _rows(path, stage) as rows:
        known = [name for name in Curve._fields if name in ("iteration", "task") or rows[0].get(name)]
        columns = {name: np.array([float(row[name]) for row in rows]) for name in known}
    return Curve(**{"distill": None, "agreement": None, **columns})


def read_image_scores(path: Path, stage: str) -> dict[str, float | None]:
    """Read the mIoU (0..1) of each image by sample id, None for one without labelled pixels; raises ArtifactError."""
    with _rows(path, stage) as rows:
        return {row["id"]: float(row["miou"]) if row["miou"] else None for row in rows}


def read_confusion(path: Path, stage: str, names: Sequence[str]) -> np.ndarray:
    """Read a confusion matrix: pixel counts, int64 (k, k), rows are labels.

    Raises ArtifactError if it is missing, damaged, or made for other classes than `names`.
    """
    with _rows(path, stage) as rows:
        label, *predictions = rows[0]
        if predictions != list(names) or [row[label] for row in rows] != list(names):
            raise ValueError(f"its classes are not {', '.join(names)}")
        return np.array([[int(cell) for cell in list(row.values())[1:]] for row in rows], dtype=np.int64)


@contextmanager
def _rows(path: Path, stage: str) -> Iterator[list[dict[str, str]]]:
    """Yield the rows by column; an error here or in the block becomes the error of a damaged file."""
    try:
        rows = list(csv.DictReader(io.StringIO(read_bytes(path, stage).decode("utf-8"), newline=""), restval=""))
        if not rows:
            raise ValueError("it has no rows")
        yield rows
    except KeyError as error:
        raise damaged(path, stage, f"no column {error}") from error
    except (ValueError, TypeError, OverflowError, csv.Error) as error:
        raise damaged(path, stage, str(error)) from error
