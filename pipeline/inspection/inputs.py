"""Read and check the inputs of the App's dataset, and draw the pictures that the App shows.

FiftyOne treats mask value 0 as background and never draws it, so class 0 must become 1 and void 0. It silently scales
a mask to the size of its image, so sizes are compared here. Images are converted to a format that browsers know.
"""

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.progress import track

from pipeline.curation.review import Remark, read_review
from pipeline.data.classes import IGNORE_INDEX, ClassTable
from pipeline.data.files import replacing, sha256
from pipeline.data.images import ImageError, read_image, read_mask, write_mask
from pipeline.errors import ArtifactError
from pipeline.inspection.records import InspectedSample, read_inspected

GROUND_TRUTH = "ground_truth"
VOID, OUTSIDE = 0, 255  # view ids: of pixels without a label, and of ids that are not in the class table
MOST_CLASSES = OUTSIDE - 1
WORTH_A_BAR = 50  # pictures; fewer need no progress bar
IN_BROWSERS = {".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".avif"}


class Inputs(NamedTuple):
    samples: Sequence[InspectedSample]
    classes: ClassTable
    remarks: Sequence[Remark]
    pictures: dict[str, dict[str, Path]]  # by sample id and field: image, ground truth or network
    fingerprint: str  # hash of all inputs and of this code: the dataset is rebuilt if it changes


def load_inputs(samples: Path, classes: Path, review: Path, scratch: Path) -> Inputs:
    """Read the files of the stages and the review, and update the pictures below `scratch`."""
    inspected, table, remarks = read_inspected(samples), ClassTable.load(classes), read_review(review)
    drawn_by = sha256(classes) + sha256(Path(__file__))
    folder = scratch / "masks" / hashlib.sha256(drawn_by.encode()).hexdigest()[:16]
    for other in folder.parent.iterdir() if folder.parent.is_dir() else ():
        if other != folder:  # pictures for another class table or version of this code
            shutil.rmtree(other)
    pictures = draw_pictures(inspected, table, folder)
    hashes = [sha256(path) for path in (samples, classes, review, *sorted(Path(__file__).parent.glob("*.py")))]
    fingerprint = hashlib.sha256("\n".join([str(Path.cwd()), *hashes]).encode()).hexdigest()
    return Inputs(inspected, table, remarks, pictures, fingerprint)


def draw_pictures(samples: Sequence[InspectedSample], classes: ClassTable, folder: Path) -> dict[str, dict[str, Path]]:
    """Write new and changed pictures into `folder`; return the absolute paths of all pictures by sample id.

    A sample has pictures of its image (if it must be converted), of the ground truth and of each network. A rejected
    sample may lack them. Raises ArtifactError if a kept sample lacks one.
    """
    if len(classes.classes) > MOST_CLASSES:
        raise ArtifactError(f"the App can show {MOST_CLASSES} classes, but the dataset has {len(classes.classes)}")
    wanted = [(sample, shows, source) for sample in samples for shows, source in _sources(sample)]
    drawn: dict[str, dict[str, Path]] = {sample.id: {} for sample in samples}
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # decoding and encoding let other threads run
        files = pool.map(lambda picture: _draw(classes, folder.resolve(), *picture), wanted)
        bar = track(files, "pictures for the App", total=len(wanted), disable=len(wanted) < WORTH_A_BAR)
        for (sample, shows, _), file in zip(wanted, bar, strict=True):
            if file is not None:
                drawn[sample.id][shows] = file
    return drawn


def view_ids(train_ids: np.ndarray, class_count: int) -> np.ndarray:
    """Translate train ids, uint8 (H, W), into the App's ids: class k -> k + 1, void -> 0, any other id -> OUTSIDE."""
    lookup = np.full(256, OUTSIDE, dtype=np.uint8)
    lookup[:class_count] = np.arange(1, class_count + 1)
    lookup[IGNORE_INDEX] = VOID
    return lookup[train_ids]


def _sources(sample: InspectedSample) -> Iterator[tuple[str, Path]]:
    """Yield the field of each picture of a sample, and the file that it is made from."""
    if sample.size is not None and Path(sample.image).suffix.lower() not in IN_BROWSERS:
        yield "image", Path(sample.image)
    if sample.mask is not None:
        yield GROUND_TRUTH, Path(sample.mask)
    for network, scores in sample.networks.items():
        yield network, Path(scores.prediction)


def _draw(classes: ClassTable, folder: Path, sample: InspectedSample, shows: str, source: Path) -> Path | None:
    """Return the picture, drawn again if its source has changed; None if that fails for a rejected sample.

    A picture has the modification time of its source, so that an older source also counts as a change.
    """
    file = folder / shows / f"{sample.id}.png"
    with contextlib.suppress(OSError):
        if file.stat().st_mtime_ns == source.stat().st_mtime_ns:
            return file
    try:
        pixels = _pixels(classes, sample, shows, source)
    except (ImageError, ArtifactError) as error:
        file.unlink(missing_ok=True)
        if sample.decision == "drop":
            return None
        raise ArtifactError(
            f"{shows} of sample {sample.id} cannot be shown: {error}. Run `dvc repro`; if it finds nothing to do, "
            f"delete {source} first"
        ) from error
    time_ns = source.stat().st_mtime_ns
    with replacing(file) as temporary:
        write_mask(temporary, pixels)
        os.utime(temporary, ns=(time_ns, time_ns))
    return file


def _pixels(classes: ClassTable, sample: InspectedSample, shows: str, source: Path) -> np.ndarray:
    if shows == "image":
        return read_image(source, sample.image_sha256)
    is_truth, count = shows == GROUND_TRUTH, len(classes.classes)
    stored = read_mask(source, sample.mask_sha256, classes) if is_truth else read_mask(source)
    if sample.size is not None and stored.shape != tuple(sample.size):
        found, wanted = ("x".join(map(str, size)) for size in (stored.shape, sample.size))
        raise ArtifactError(f"{source} has {found} pixels, but its image has {wanted}")
    ids = view_ids(classes.to_train_ids(stored) if is_truth else stored, count)
    if is_truth:
        return np.where(classes.known_raw_ids()[stored], ids, np.uint8(OUTSIDE))
    if OUTSIDE in ids:
        raise ArtifactError(f"{source} is not a prediction of these {count} classes: it holds other ids")
    return ids
