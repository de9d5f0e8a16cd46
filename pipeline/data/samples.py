"""The sample list: one row for each (image, mask) pair, a CSV on disk."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from pipeline.data.files import write_text
from pipeline.errors import DatasetError

LABELLED_SPLITS = ("train", "val", "test")
UNLABELLED = "unlabelled"  # images without masks: only a teacher can say something about them
SPLITS = (*LABELLED_SPLITS, UNLABELLED)


class Sample(NamedTuple):
    """One image with its mask; paths are relative to the folder in which the stages run, or absolute."""

    id: str  # unique in the list; also the file name of the predictions made for it
    split: str  # one of SPLITS
    sequence: str  # frames of one video share it; a still image is its own sequence
    image: Path
    mask: Path | None  # as it lies in the dataset, raw ids; None in the unlabelled split
    image_sha256: str  # of the file's bytes, so that a list changes with what it lists; empty if it cannot be read
    mask_sha256: str  # the same; empty without a mask

    def cells(self) -> list[str]:
        """Return the row in a file."""
        return [cell.as_posix() if isinstance(cell, Path) else cell or "" for cell in self]


class Decision(NamedTuple):
    """What curation says about a sample."""

    sample: Sample
    decision: str  # keep or drop
    rules: list[str]  # those that found something, the ones that drop it first, then warnings
    reasons: list[str]  # a sentence of each


DECISION_COLUMNS = (*Sample._fields, "decision", "rules", "reasons")
BETWEEN_REASONS = " | "


def write_samples(path: Path, samples: Iterable[Sample]) -> None:
    _write(path, [Sample._fields, *(sample.cells() for sample in samples)])


def write_decisions(path: Path, decisions: Iterable[Decision]) -> None:
    rows = [[*d.sample.cells(), d.decision, " ".join(d.rules), BETWEEN_REASONS.join(d.reasons)] for d in decisions]
    _write(path, [DECISION_COLUMNS, *rows])


def read_decisions(path: Path) -> list[Decision]:
    """Read the whole list with what curation says about each sample; raises DatasetError as `read_samples`."""
    return [
        Decision(_sample(row), decision, rules.split(), reasons.split(BETWEEN_REASONS) if rules else [])
        for *row, decision, rules, reasons in _read(path, DECISION_COLUMNS)
    ]


def read_samples(path: Path, *splits: str) -> list[Sample]:
    """Read a sample list, all of it or some splits, one after the other.

    Raises:
        DatasetError: no such file, other columns, an unknown or an empty split.
    """
    samples = [_sample(row) for row in _read(path, Sample._fields)]
    for split in splits:
        if not any(sample.split == split for sample in samples):
            raise DatasetError(f"{path}: no sample in split {split!r}, so there is nothing to work on")
    return [sample for split in splits for sample in samples if sample.split == split] if splits else samples


def _write(path: Path, rows: Iterable[Sequence[str]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    write_text(path, text.getvalue())


def _read(path: Path, columns: Sequence[str]) -> list[list[str]]:
    if not path.is_file():
        raise DatasetError(f"no sample list at {path}; run the prepare and curate stages first")
    try:
        with path.open(newline="", encoding="utf-8") as file:
            header, *rows = csv.reader(file)
    except (OSError, ValueError, csv.Error) as error:  # not text, or nothing in it
        raise DatasetError(f"cannot read {path} ({error}); run the prepare and curate stages again") from error
    if header != list(columns):
        raise DatasetError(f"{path}: columns {header}, expected {list(columns)}")
    for number, row in enumerate(rows, start=2):
        if len(row) != len(columns):
            raise DatasetError(
                f"{path}, line {number}: {len(columns)} values are needed; run the prepare and curate stages again"
            )
    unknown = sorted({row[1] for row in rows} - set(SPLITS))
    if unknown:
        raise DatasetError(f"{path}: unknown split {', '.join(unknown)}; known are {', '.join(SPLITS)}")
    return rows


def _sample(cells: Sequence[str]) -> Sample:
    name, split, sequence, image, mask, image_sha256, mask_sha256 = cells
    return Sample(name, split, sequence, Path(image), Path(mask) if mask else None, image_sha256, mask_sha256)
