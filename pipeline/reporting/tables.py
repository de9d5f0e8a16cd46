"""The CSV files of the other stages, as arrays and dicts."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipeline.reporting.reading import corrupt, read_bytes


class Curve(NamedTuple):
    """A training curve; the arrays have one entry for each logged iteration."""

    iteration: np.ndarray
    task: np.ndarray  # loss on the labels
    distill: np.ndarray | None  # weighted distillation term; None where nothing was distilled
    agreement: np.ndarray | None  # share of cells, 0..1, to which student and teacher give the same class


def read_curve(path: Path, stage: str) -> Curve:
    """Read a training curve.

    Raises:
        ReportError: missing, empty, other columns, or not numbers.
    """
    rows = _rows(path, stage, ("iteration", "task"))
    if not rows:
        raise corrupt(path, stage, "it has no rows")
    needed, possible = ("iteration", "task"), ("distill", "agreement")
    present = [*needed, *(name for name in possible if rows[0].get(name))]
    try:
        columns = {name: np.array([float(row[name]) for row in rows]) for name in present}
    except ValueError as error:
        raise corrupt(path, stage, str(error)) from error
    return Curve(*(columns[name] for name in needed), *(columns.get(name) for name in possible))


def read_image_scores(path: Path, stage: str) -> dict[str, float | None]:
    """Read the mIoU (0..1) of each image by sample id; None for an image without labelled pixels.

    Raises:
        ReportError: missing, other columns, or not numbers.
    """
    try:
        return {row["id"]: float(row["miou"]) if row["miou"] else None for row in _rows(path, stage, ("id", "miou"))}
    except ValueError as error:
        raise corrupt(path, stage, str(error)) from error


def read_confusion(path: Path, stage: str, names: Sequence[str]) -> np.ndarray:
    """Read a confusion matrix: pixel counts, int64 (k, k), rows are labels.

    Raises:
        ReportError: missing, made for other classes, or not numbers.
    """
    rows = list(csv.reader(_text(path, stage)))
    if not rows or rows[0][1:] != list(names) or [row[0] for row in rows[1:] if row] != list(names):
        raise corrupt(path, stage, f"its classes are not {', '.join(names)}")
    try:
        return np.array([[int(cell) for cell in row[1:]] for row in rows[1:]], dtype=np.int64).reshape(len(names), -1)
    except (ValueError, OverflowError) as error:
        raise corrupt(path, stage, str(error)) from error


def _rows(path: Path, stage: str, needed: Sequence[str]) -> list[dict[str, str]]:
    reader = csv.DictReader(_text(path, stage), restval="")
    if missing := [name for name in needed if name not in (reader.fieldnames or ())]:
        raise corrupt(path, stage, f"no column {', '.join(missing)}")
    return list(reader)


def _text(path: Path, stage: str) -> io.StringIO:
    try:
        return io.StringIO(read_bytes(path, stage).decode("utf-8"), newline="")
    except UnicodeDecodeError as error:
        raise corrupt(path, stage, "not UTF-8 text") from error
