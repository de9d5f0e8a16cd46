"""The sample list: one row for each (image, mask) pair, a CSV on disk."""

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from pipeline.data.files import write_text
from pipeline.errors import SegdistillError

LABELLED_SPLITS = ("train", "val", "test")
UNLABELLED = "unlabelled"  # images whose masks are all void: only a teacher can say something about them
SPLITS = (*LABELLED_SPLITS, UNLABELLED)


class SampleListError(SegdistillError):
    """A sample list that cannot be used."""


class Sample(NamedTuple):
    """One image with its mask.

    Paths are relative to the folder in which the stages run (or absolute), so that a list means the same on every
    machine.
    """

    id: str  # unique in the list; also the file name of the masks and predictions made for it
    split: str  # one of SPLITS
    sequence: str  # frames of one video share it; a still image is its own sequence
    image: Path
    mask: Path  # train ids, 8-bit PNG


def write_samples(path: Path, samples: Iterable[Sample]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Sample._fields)
    writer.writerows([s.id, s.split, s.sequence, s.image.as_posix(), s.mask.as_posix()] for s in samples)
    write_text(path, text.getvalue())


def read_samples(path: Path, split: str | None = None) -> list[Sample]:
    """Read a sample list, all of it or one split.

    Raises:
        SampleListError: no such file, other columns, an unknown or an empty split.
    """
    if not path.is_file():
        raise SampleListError(f"no sample list at {path}; run the prepare and curate stages first")
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != Sample._fields:
            raise SampleListError(f"{path}: columns {reader.fieldnames}, expected {list(Sample._fields)}")
        rows = [Sample(r["id"], r["split"], r["sequence"], Path(r["image"]), Path(r["mask"])) for r in reader]
    unknown = sorted({row.split for row in rows} - set(SPLITS))
    if unknown:
        raise SampleListError(f"{path}: unknown split {', '.join(unknown)}; known are {', '.join(SPLITS)}")
    if split is None:
        return rows
    chosen = [row for row in rows if row.split == split]
    if not chosen:
        raise SampleListError(f"{path}: no sample in split {split!r}, so there is nothing to work on")
    return chosen
