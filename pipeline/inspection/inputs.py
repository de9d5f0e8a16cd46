"""Read all that the App's dataset is built from, and check it before anything is started."""

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


class InspectionPaths(NamedTuple):
    """Seen from the profile's folder."""

    samples: Path  # samples.jsonl
    classes: Path  # classes.json
    review: Path  # review.csv
    scratch: Path  # folder for pictures and database


class Inputs(NamedTuple):
    samples: Sequence[InspectedSample]
    classes: ClassTable
    remarks: Sequence[Remark]
    pictures: dict[str, dict[str, Path]]  # by sample and what they show
    fingerprint: str  # of all of it and of this code: the dataset is rebuilt when it changes


def load_inputs(paths: InspectionPaths) -> Inputs:
    """Read what stages and people wrote, and bring the pictures up to date.

    Raises:
        ArtifactError, DatasetError: an input is missing or damaged.
    """
    samples = read_inspected(paths.samples)
    classes = ClassTable.load(paths.classes)
    remarks = read_review(paths.review)
    pictures = draw_pictures(samples, classes, _picture_folder(paths.scratch / "masks", paths.classes))
    code = sorted(Path(__file__).parent.glob("*.py"))
    hashes = [sha256(path) for path in (paths.samples, paths.classes, paths.review, *code)]
    fingerprint = hashlib.sha256("\n".join([str(Path.cwd()), *hashes]).encode()).hexdigest()
    return Inputs(samples, classes, remarks, pictures, fingerprint)


def _picture_folder(folder: Path, classes: Path) -> Path:
    """Return a folder for this class table and this code; those of others are removed, for they show other ids."""
    sources = [sha256(classes), sha256(Path(__file__).with_name("pictures.py"))]
    own = folder / hashlib.sha256(" ".join(sources).encode()).hexdigest()[:16]
    for other in folder.iterdir() if folder.is_dir() else ():
        if other != own:
            shutil.rmtree(other)
    return own
