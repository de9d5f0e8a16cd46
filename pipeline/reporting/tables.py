"""Read the CSV files of other stages."""

import csv
import io
from collections.abc import Sequence
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
    """Read a training curve.

    Raises:
        ArtifactError: it is missing or empty, lacks a column, or holds something else than numbers.
    """
    rows = _rows(path, stage, ("iteration", "task"))
    if not rows:
        raise damaged(path, stage, "it has no rows")
    try:
        columns = [
            np.array([float(row[name]) for row in rows]) if name in ("iteration", "task") or rows[0].get(name) else None
            for name in Curve._fields
        ]
    except ValueError as error:
        raise damaged(path, stage, str(error)) from error
    return Curve(*columns)  # type: ignore[reportArgumentType]


def read_image_scores(path: Path, stage: str) -> dict[str, float | None]:
    """Read the mIoU (0..1) of each image by sample id; None for an image without labelled pixels.

    Raises:
        ArtifactError: it is missing, lacks a column, or holds something else than numbers.
    """
    try:
        return {row["id"]: float(row["miou"]) if row["miou"] else None for row in _rows(path, stage, ("id", "miou"))}
    except ValueError as error:
        raise damaged(path, stage, str(error)) from error


def read_confusion(path: Path, stage: str, names: Sequence[str]) -> np.ndarray:
    """Read a confusion matrix: pixel counts, int64 (k, k), rows are labels.

    Raises:
        ArtifactError: it is missing, made for other classes, or holds something else than numbers.
    """
    rows = list(csv.reader(_text(path, stage)))
    if not rows or rows[0][1:] != list(names) or [row[0] for row in rows[1:] if row] != list(names):
        raise damaged(path, stage, f"its classes are not {', '.join(names)}")
    try:
        return np.array([[int(cell) for cell in row[1:]] for row in rows[1:]], dtype=np.int64).reshape(len(names), -1)
    except (ValueError, OverflowError) as error:
        raise damaged(path, stage, str(error)) from error


def _rows(path: Path, stage: str, needed: Sequence[str]) -> list[dict[str, str]]:
    reader = csv.DictReader(_text(path, stage), restval="")
    if missing := [name for name in needed if name not in (reader.fieldnames or ())]:
        raise damaged(path, stage, f"no column {', '.join(missing)}")
    return list(reader)


def _text(path: Path, stage: str) -> io.StringIO:
    try:
        return io.StringIO(read_bytes(path, stage).decode("utf-8"), newline="")
    except UnicodeDecodeError as error:
        raise damaged(path, stage, "not UTF-8 text") from error
