"""Read and write the review: people's remarks about samples, in a small file that is versioned with params.yaml.

`make inspect-apply` writes the file from the tags of the App. You may also edit it. A remark is about the image and the
mask that the person saw: if one of them changes, the remark is outdated and has no effect.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pipeline.data.files import read_csv, write_csv
from pipeline.errors import DatasetError

VERDICTS = ("drop", "fix_label")  # the sample must not be used; its mask is wrong


class Remark(NamedTuple):
    id: str  # of the sample
    verdict: str  # one of VERDICTS
    image_sha256: str  # of the files that the person saw
    mask_sha256: str  # empty without a mask


class Files(NamedTuple):  # hashes of a sample's files
    image_sha256: str
    mask_sha256: str


def split_remarks(
    remarks: Sequence[Remark], files: Mapping[str, Files]
) -> tuple[list[Remark], list[Remark], list[Remark]]:
    """Split remarks into valid ones, outdated ones (a file has changed since), and those about unknown samples."""
    known = [remark for remark in remarks if remark.id in files]
    holding = [remark for remark in known if files[remark.id] == (remark.image_sha256, remark.mask_sha256)]
    outdated = [remark for remark in known if files[remark.id] != (remark.image_sha256, remark.mask_sha256)]
    return holding, outdated, [remark for remark in remarks if remark.id not in files]


def write_review(path: Path, remarks: Iterable[Remark]) -> None:
    """Write the remarks, sorted, so that a change is a readable diff."""
    write_csv(path, [Remark._fields, *sorted(set(remarks))])


def read_review(path: Path) -> list[Remark]:
    """Read a review file; raise DatasetError for an unknown verdict, or for a sample with two remarks."""
    hint = f"an empty review has one line: {','.join(Remark._fields)}"
    remarks = [Remark(*row) for row in read_csv(path, Remark._fields, hint)]
    for remark in remarks:
        if remark.verdict not in VERDICTS:
            raise DatasetError(f"{path}, {remark.id}: unknown verdict {remark.verdict!r}; use {' or '.join(VERDICTS)}")
    twice = [name for name, count in Counter(remark.id for remark in remarks).items() if count > 1]
    if twice:
        raise DatasetError(f"{path}: more than one remark about {', '.join(sorted(twice)[:3])}; keep one for each")
    return remarks
