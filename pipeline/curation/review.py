"""What people said about samples: a small file beside params.yaml, versioned with it.

It is written by `make inspect-apply` from the tags of the App, and may be edited by hand. A remark holds for the image
and the mask that were looked at: where one of them has changed since, it is out of date and does nothing.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pipeline.data.files import read_csv, write_csv
from pipeline.errors import DatasetError

VERDICTS = ("drop", "fix_label")  # must not be used; its mask is wrong


class Remark(NamedTuple):
    id: str  # of the sample
    verdict: str  # one of VERDICTS
    image_sha256: str  # of the files that were looked at
    mask_sha256: str  # empty without a mask


class Files(NamedTuple):  # of a sample that people look at
    image_sha256: str
    mask_sha256: str


def split_remarks(
    remarks: Sequence[Remark], files: Mapping[str, Files]
) -> tuple[list[Remark], list[Remark], list[Remark]]:
    """Sort remarks by what they are about: these files, files that have changed since, samples that are not here."""
    known = [remark for remark in remarks if remark.id in files]
    holding = [remark for remark in known if files[remark.id] == (remark.image_sha256, remark.mask_sha256)]
    outdated = [remark for remark in known if files[remark.id] != (remark.image_sha256, remark.mask_sha256)]
    return holding, outdated, [remark for remark in remarks if remark.id not in files]


def write_review(path: Path, remarks: Iterable[Remark]) -> None:
    """Write the remarks, sorted, so that a change is a readable diff."""
    write_csv(path, [Remark._fields, *sorted(set(remarks))])


def read_review(path: Path) -> list[Remark]:
    """Read a review file; DatasetError for another verdict and for a sample with two remarks."""
    hint = f"where nothing was reviewed it holds one line: {','.join(Remark._fields)}"
    remarks = [Remark(*row) for row in read_csv(path, Remark._fields, hint)]
    for remark in remarks:
        if remark.verdict not in VERDICTS:
            raise DatasetError(f"{path}, {remark.id}: {remark.verdict!r}; a verdict is {' or '.join(VERDICTS)}")
    twice = [name for name, count in Counter(remark.id for remark in remarks).items() if count > 1]
    if twice:
        raise DatasetError(f"{path}: more than one remark about {', '.join(sorted(twice)[:3])}; keep one")
    return remarks
