"""Read and check all that the App's dataset is built from, and draw what the App shows.

FiftyOne takes mask value 0 for background and never draws it, so class 0 has to become 1 and void 0. It scales a mask
to the size of its image without a word, so sizes are compared here. Images get a format that a browser knows.
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
VOID, OUTSIDE = 0, 255  # view ids of what has no label, and of what the class table does not know
MOST_CLASSES = OUTSIDE - 1
WORTH_A_BAR = 50  # pictures; fewer are made in no time
IN_BROWSERS = {".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".avif"}


class Inputs(NamedTuple):
    samples: Sequence[InspectedSample]
    classes: ClassTable
    remarks: Sequence[Remark]
    pictures: dict[str, dict[str, Path]]  # by sample and what they show
    fingerprint: str  # of all of it and of this code: the dataset is rebuilt when it changes


def load_inputs(samples: Path, classes: Path, review: Path, scratch: Path) -> Inputs:
    """Read what stages and people wrote, and bring the pictures below `scratch` up to date."""
    inspected, table, remarks = read_inspected(samples), ClassTable.load(classes), read_review(review)
    drawn_by = sha256(classes) + sha256(Path(__file__))
    folder = scratch / "masks" / hashlib.sha256(drawn_by.encode()).hexdigest()[:16]
    for other in folder.parent.iterdir() if folder.parent.is_dir() else ():
        if other != folder:  # pictures with other ids
            shutil.rmtree(other)
    pictures = draw_pictures(inspected, table, folder)
    hashes = [sha256(path) for path in (samples, classes, review, *sorted(Path(__file__).parent.glob("*.py")))]
    fingerprint = hashlib.sha256("\n".join([str(Path.cwd()), *hashes]).encode()).hexdigest()
    return Inputs(inspected, table, remarks, pictures, fingerprint)


def draw_pictures(samples: Sequence[InspectedSample], classes: ClassTable, folder: Path) -> dict[str, dict[str, Path]]:
    """Write what is new or has changed since the last time into `folder`; return the absolute paths by sample id.

    They are of its image, if it had to be converted, of the ground truth and of each network. A sample that was
    rejected may lack them; if one that was kept does, that is an ArtifactError.
    """
    if len(classes.classes) > MOST_CLASSES:
        raise ArtifactError(f"the App can show {MOST_CLASSES} classes, the dataset has {len(classes.classes)}")
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
    """Train ids uint8 (H, W) in the App's ids: class k -> k + 1, void -> 0, what is no class -> OUTSIDE."""
    lookup = np.full(256, OUTSIDE, dtype=np.uint8)
    lookup[:class_count] = np.arange(1, class_count + 1)
    lookup[IGNORE_INDEX] = VOID
    return lookup[train_ids]


def _sources(sample: InspectedSample) -> Iterator[tuple[str, Path]]:
    """Yield what the pictures of a sample show, and the files they are made from."""
    if sample.size is not None and Path(sample.image).suffix.lower() not in IN_BROWSERS:
        yield "image", Path(sample.image)
    if sample.mask is not None:
        yield GROUND_TRUTH, Path(sample.mask)
    for network, scores in sample.networks.items():
        yield network, Path(scores.prediction)


def _draw(classes: ClassTable, folder: Path, sample: InspectedSample, shows: str, source: Path) -> Path | None:
    """Return the picture, drawn anew if its source has changed; None if it cannot be, and the sample was rejected.

    A picture carries the time of its source, so that an older source counts as a change too.
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
            f"{shows} of sample {sample.id} cannot be shown: {error}. Run `dvc repro`; where it finds nothing to do, "
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
        raise ArtifactError(f"{source} has {found} pixels, its image {wanted}; drawn on it, it would be wrong")
    ids = view_ids(classes.to_train_ids(stored) if is_truth else stored, count)
    if is_truth:
        return np.where(classes.known_raw_ids()[stored], ids, np.uint8(OUTSIDE))
    if OUTSIDE in ids:
        raise ArtifactError(f"{source} is no prediction of these {count} classes: it holds other ids")
    return ids
