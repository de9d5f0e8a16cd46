"""The sample list: one row for each (image, mask) pair, a CSV on disk."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pipeline.data.files import write_text
from pipeline.errors import SegdistillError

LABELLED_SPLITS = ("train", "val", "test")
UNLABELLED = "unlabelled"  # images without masks: only a teacher can say something about them
SPLITS = (*LABELLED_SPLITS, UNLABELLED)


class SampleListError(SegdistillError):
    """A sample list that cannot be used."""


class Sample(NamedTuple):
    """One image with its mask.

    Paths are relative to the folder in which the stages run (or absolute), so that a list means the same on every
    machine.
    """

    id: str  # unique in the list; also the file name of the predictions made for it
    split: str  # one of SPLITS
    sequence: str  # frames of one video share it; a still image is its own sequence
    image: Path
    mask: Path | None  # as it lies in the dataset, raw ids; None in the unlabelled split
    image_sha256: str  # of the file's bytes, so that a list changes with what it lists; empty if it cannot be read
    mask_sha256: str  # the same; empty without a mask

    def cells(self) -> list[str]:
        """The row in a file."""
        mask = "" if self.mask is None else self.mask.as_posix()
        return [self.id, self.split, self.sequence, self.image.as_posix(), mask, self.image_sha256, self.mask_sha256]


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
    """The whole list with what curation says about each sample.

    Raises:
        SampleListError: no such file, other columns, or an unknown split.
    """
    return [
        Decision(_sample(row), row["decision"], row["rules"].split(), row["reasons"].split(BETWEEN_REASONS))
        if row["rules"]
        else Decision(_sample(row), row["decision"], [], [])
        for row in _read(path, DECISION_COLUMNS)
    ]


def read_samples(path: Path, *splits: str) -> list[Sample]:
    """Read a sample list, all of it or some splits, one after the other.

    Raises:
        SampleListError: no such file, other columns, an unknown or an empty split.
    """
    rows = [_sample(row) for row in _read(path, Sample._fields)]
    if not splits:
        return rows
    chosen: list[Sample] = []
    for split in splits:
        of_split = [row for row in rows if row.split == split]
        if not of_split:
            raise SampleListError(f"{path}: no sample in split {split!r}, so there is nothing to work on")
        chosen += of_split
    return chosen


def _write(path: Path, rows: Iterable[Sequence[str]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    write_text(path, text.getvalue())


def _read(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    if not path.is_file():
        raise SampleListError(f"no sample list at {path}; run the prepare and curate stages first")
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            if list(reader.fieldnames or ()) != list(columns):
                raise SampleListError(f"{path}: columns {reader.fieldnames}, expected {list(columns)}")
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SampleListError(f"cannot read {path} ({error}); run the prepare and curate stages again") from error
    for number, row in enumerate(rows, start=2):
        if None in row or None in row.values():
            raise SampleListError(
                f"{path}, line {number}: {len(columns)} values are needed; run the prepare and curate stages again"
            )
    unknown = sorted({row["split"] for row in rows} - set(SPLITS))
    if unknown:
        raise SampleListError(f"{path}: unknown split {', '.join(unknown)}; known are {', '.join(SPLITS)}")
    return rows


def _sample(row: Mapping[str, str]) -> Sample:
    mask = Path(row["mask"]) if row["mask"] else None
    return Sample(
        row["id"], row["split"], row["sequence"], Path(row["image"]), mask, row["image_sha256"], row["mask_sha256"]
    )
