"""All that the App's dataset is made from, read and checked before anything is started."""

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pipeline.curation.review import Remark, read_review
from pipeline.data.classes import ClassTable
from pipeline.data.files import sha256
from pipeline.inspection.pictures import draw_pictures
from pipeline.inspection.records import InspectedSample, read_inspected


class Places(NamedTuple):
    """Where things lie, seen from the profile's folder."""

    samples: Path  # samples.jsonl
    classes: Path  # classes.json
    review: Path  # review.csv
    scratch: Path  # folder for pictures and database


class Material(NamedTuple):
    samples: Sequence[InspectedSample]
    classes: ClassTable
    remarks: Sequence[Remark]
    pictures: dict[str, dict[str, Path]]  # by sample and what they show
    fingerprint: str  # of all of it: with the same one there is nothing to build


def read_material(places: Places) -> Material:
    """Read what the stages and people wrote, and bring the pictures up to date.

    Raises:
        InspectionError: samples or pictures are missing or damaged.
        ClassTableError: so is the class table.
        ReviewError: so is the review file.
    """
    samples = read_inspected(places.samples)
    classes = ClassTable.load(places.classes)
    remarks = read_review(places.review)
    pictures = draw_pictures(samples, classes, _picture_folder(places.scratch / "masks", places.classes))
    return Material(samples, classes, remarks, pictures, _fingerprint(places))


def _picture_folder(folder: Path, classes: Path) -> Path:
    """A folder of this class table and this code; those of others are removed, for they show other ids."""
    makers = [sha256(classes), sha256(Path(__file__).with_name("pictures.py"))]
    own = folder / hashlib.sha256(" ".join(makers).encode()).hexdigest()[:16]
    for other in folder.iterdir() if folder.is_dir() else ():
        if other != own:
            shutil.rmtree(other)
    return own


def _fingerprint(places: Places) -> str:
    """Of the files, the code that builds from them, and the folder: the App is told absolute paths."""
    code = sorted(Path(__file__).parent.glob("*.py"))
    hashes = [sha256(path) for path in (places.samples, places.classes, places.review, *code)]
    return hashlib.sha256("\n".join([str(Path.cwd()), *hashes]).encode()).hexdigest()
