"""What people said about samples: a small file beside params.yaml, versioned with it.

It is written by `make inspect-apply` from the tags of the App, and may be edited by hand. A remark holds for the image
and the mask that were looked at: where one of them has changed since, it is out of date and does nothing.
"""

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from pipeline.data.files import write_text
from pipeline.errors import DatasetError

VERDICTS = ("drop", "fix_label")
"""`drop`: must not be used. `fix_label`: its mask is wrong."""


class Remark(NamedTuple):
    id: str  # of the sample
    verdict: str  # one of VERDICTS
    image_sha256: str  # of the files that were looked at
    mask_sha256: str  # empty without a mask


class Files(NamedTuple):
    """Hashes of the files of a sample that people look at."""

    image_sha256: str
    mask_sha256: str


def split_remarks(
    remarks: Iterable[Remark], files: Mapping[str, Files]
) -> tuple[list[Remark], list[Remark], list[Remark]]:
    """Sort remarks by what they are about: these files, files that have changed since, samples that are not here."""
    holding: list[Remark] = []
    outdated: list[Remark] = []
    unknown: list[Remark] = []
    for remark in remarks:
        if remark.id not in files:
            unknown.append(remark)
        elif files[remark.id] == (remark.image_sha256, remark.mask_sha256):
            holding.append(remark)
        else:
            outdated.append(remark)
    return holding, outdated, unknown


def write_review(path: Path, remarks: Iterable[Remark]) -> None:
    """Write the remarks, sorted, so that a change is a readable diff."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Remark._fields)
    writer.writerows(sorted(set(remarks)))
    write_text(path, text.getvalue())


def read_review(path: Path) -> list[Remark]:
    """Read a review file.

    Raises:
        DatasetError: no such file, other columns, an unknown verdict, or a sample with both.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            if tuple(reader.fieldnames or ()) != Remark._fields:
                found = ",".join(reader.fieldnames or ()) or "none"
                raise DatasetError(f"{path}: columns {found}, expected {','.join(Remark._fields)}")
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(
            f"cannot read {path} ({error}); where nothing was reviewed it holds one line: {','.join(Remark._fields)}"
        ) from error
    remarks = []
    for number, row in enumerate(rows, start=2):
        if None in row or None in row.values():
            raise DatasetError(f"{path}, line {number}: {len(Remark._fields)} values are needed")
        if row["verdict"] not in VERDICTS:
            raise DatasetError(f"{path}, line {number}: {row['verdict']!r}; a verdict is {' or '.join(VERDICTS)}")
        remarks.append(Remark(**row))
    twice = sorted({remark.id for remark in remarks if [r.id for r in remarks].count(remark.id) > 1})
    if twice:
        raise DatasetError(f"{path}: more than one remark about {', '.join(twice[:3])}; keep one")
    return remarks
