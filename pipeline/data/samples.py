"""Read and write the sample list: a CSV with one row for each pair of image and mask.

Its paths are relative to the dataset's folder, which a file beside the list names. So the list does not change if the
dataset moves, and no training that depends on it runs again.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from pipeline.data.files import read_csv, write_csv, write_text
from pipeline.errors import DatasetError

LABELLED_SPLITS = ("train", "val", "test")
UNLABELLED = "unlabelled"  # images without masks: students learn from the teacher's predictions
SPLITS = (*LABELLED_SPLITS, UNLABELLED)
SOURCE = "source.txt"  # file beside a list: the folder that the paths are relative to


class Sample(NamedTuple):
    """One image with its mask; in memory, paths are relative to the folder in which the stages run, or absolute."""

    id: str  # unique in the list; also the file name of the predictions made for it
    split: str  # one of SPLITS
    sequence: str  # frames of one video share it; a still image is its own sequence
    image: Path
    mask: Path | None  # the dataset's own file with raw ids; None in the unlabelled split
    image_sha256: str  # of the file's bytes, so that the list changes with the files; empty if it cannot be read
    mask_sha256: str  # the same; empty without a mask

    def cells(self, source: Path) -> list[str]:
        """Return the row in the CSV; paths below `source` become relative to it."""
        files = [cell for cell in self if isinstance(cell, Path)]
        seen = {path: path.relative_to(source) if path.is_relative_to(source) else path for path in files}
        return [seen[cell].as_posix() if isinstance(cell, Path) else cell or "" for cell in self]


class Decision(NamedTuple):
    """Curation's decision about a sample, with the reasons."""

    sample: Sample
    decision: str  # keep or drop
    rules: list[str]  # the rules that it fails: first those that drop it, then warnings
    reasons: list[str]  # one sentence for each of these rules


DECISION_COLUMNS = (*Sample._fields, "decision", "rules", "reasons")
BETWEEN_REASONS = " | "
HINT = "run the prepare and curate stages to write it"


def write_samples(path: Path, samples: Iterable[Sample], source: Path = Path()) -> None:
    """Write a list, and the path of the folder `source` beside it.

    If `source` is not the working directory, it must hold all files of the list.
    """
    _write(path, Sample._fields, [(sample, ()) for sample in samples], source)


def write_decisions(path: Path, decisions: Iterable[Decision], source: Path = Path()) -> None:
    """Write a list with curation's decisions; `source` is as in `write_samples`."""
    rows = [(d.sample, (d.decision, " ".join(d.rules), BETWEEN_REASONS.join(d.reasons))) for d in decisions]
    _write(path, DECISION_COLUMNS, rows, source)


def listed_source(folder: Path) -> Path:
    """Return the folder that the paths of the lists in `folder` are relative to."""
    try:
        return Path((folder / SOURCE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Path()  # the working directory
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"cannot read {folder / SOURCE} ({error}); {HINT}") from error


def read_decisions(path: Path) -> list[Decision]:
    """Read the list of all samples with curation's decisions."""
    return [
        Decision(sample, decision, rules.split(), reasons.split(BETWEEN_REASONS) if rules else [])
        for sample, (decision, rules, reasons) in _read(path, DECISION_COLUMNS)
    ]


def read_samples(path: Path, *splits: str) -> list[Sample]:
    """Read a sample list: all samples, or those of `splits` in that order; raise DatasetError if one is empty."""
    samples = [sample for sample, _ in _read(path, Sample._fields)]
    for split in splits:
        if not any(sample.split == split for sample in samples):
            raise DatasetError(f"{path} has 0 samples in split {split!r}; add some, or use another split")
    return [sample for split in splits for sample in samples if sample.split == split] if splits else samples


def _read(path: Path, columns: Sequence[str]) -> Iterator[tuple[Sample, list[str]]]:
    """Yield the sample of each row, and the further columns."""
    source = listed_source(path.parent)
    for row in read_csv(path, columns, HINT):
        name, split, sequence, image, mask, image_sha256, mask_sha256, *more = row
        if split not in SPLITS:
            raise DatasetError(f"{path}: unknown split {split}; known are {', '.join(SPLITS)}")
        files = source / image, source / mask if mask else None
        yield Sample(name, split, sequence, *files, image_sha256, mask_sha256), more


def _write(path: Path, columns: Sequence[str], rows: Iterable[tuple[Sample, Sequence[str]]], source: Path) -> None:
    write_text(path.with_name(SOURCE), source.as_posix())
    write_csv(path, [columns, *([*sample.cells(source), *more] for sample, more in rows)])
