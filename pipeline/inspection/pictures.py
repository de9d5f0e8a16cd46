"""What the App draws: masks in the ids it can draw, and images in a format that a browser knows.

FiftyOne takes mask value 0 for background and never draws it, so class 0 has to become 1 and void 0. It scales a mask
to the size of its image without a word, so sizes are compared here.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.progress import track

from pipeline.data.classes import IGNORE_INDEX, ClassTable
from pipeline.data.files import replacing
from pipeline.data.images import ImageError, read_image, read_mask, write_mask
from pipeline.errors import ArtifactError
from pipeline.inspection.records import InspectedSample

GROUND_TRUTH = "ground_truth"
VOID = 0
OUTSIDE = 255
"""View id of what the class table does not know."""

MOST_CLASSES = OUTSIDE - 1

WORTH_A_BAR = 50
"""Pictures; fewer are made in no time."""

IN_BROWSERS = {".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".avif"}


class Picture(NamedTuple):
    """A file made from another, anew whenever that one has changed."""

    sample: str
    shows: str  # GROUND_TRUTH, a network, or "image"
    source: Path
    file: Path
    make: Callable[[], np.ndarray]  # raises ImageError or ArtifactError
    required: bool  # whether it is an error if it cannot be made


def draw_pictures(samples: Sequence[InspectedSample], classes: ClassTable, folder: Path) -> dict[str, dict[str, Path]]:
    """Write what is new or has changed since the last time.

    Args:
        classes: of the masks.
        folder: for the files.

    Returns:
        for each sample id the absolute paths of its pictures: of its image, if it had to be converted, of the
        ground truth and of each network. A sample that was rejected may lack them.

    Raises:
        ArtifactError: a prediction, or the mask of a sample that was kept, is missing, damaged or of another size
            than its image; or there are more classes than the App has ids for.
    """
    if len(classes.classes) > MOST_CLASSES:
        raise ArtifactError(f"the App can show {MOST_CLASSES} classes, the dataset has {len(classes.classes)}")
    pictures = [picture for sample in samples for picture in _pictures(sample, classes, folder.resolve())]
    stale = [picture for picture in pictures if not _is_fresh(picture)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # decoding and encoding let other threads run
        for _ in track(
            pool.map(_draw, stale), "pictures for the App", total=len(stale), disable=len(stale) < WORTH_A_BAR
        ):
            pass
    drawn: dict[str, dict[str, Path]] = {sample.id: {} for sample in samples}
    for picture in pictures:
        if picture.file.exists():
            drawn[picture.sample][picture.shows] = picture.file
    return drawn


def view_ids(train_ids: np.ndarray, class_count: int) -> np.ndarray:
    """Train ids uint8 (H, W) in the App's ids: class k -> k + 1, void -> 0, what is no class -> OUTSIDE."""
    lookup = np.full(256, OUTSIDE, dtype=np.uint8)
    lookup[:class_count] = np.arange(1, class_count + 1)
    lookup[IGNORE_INDEX] = VOID
    return lookup[train_ids]


def _pictures(sample: InspectedSample, classes: ClassTable, folder: Path) -> Iterator[Picture]:
    kept = sample.decision == "keep"
    image = Path(sample.image)
    if sample.size is not None and image.suffix.lower() not in IN_BROWSERS:
        file = folder / f"image/{sample.id}.png"
        yield Picture(sample.id, "image", image, file, lambda: read_image(image, sample.image_sha256), kept)
    if sample.mask is not None:
        mask = Path(sample.mask)
        file = folder / GROUND_TRUTH / f"{sample.id}.png"
        yield Picture(sample.id, GROUND_TRUTH, mask, file, lambda: _ground_truth(mask, sample, classes), kept)
    for network, scores in sample.networks.items():
        yield _prediction(sample, network, Path(scores.prediction), len(classes.classes), folder)


def _prediction(sample: InspectedSample, network: str, source: Path, class_count: int, folder: Path) -> Picture:
    def make() -> np.ndarray:
        ids = view_ids(_sized(read_mask(source), sample.size, source), class_count)
        if OUTSIDE in ids:
            raise ArtifactError(f"{source} is no prediction of these {class_count} classes: it holds other ids")
        return ids

    return Picture(sample.id, network, source, folder / network / f"{sample.id}.png", make, required=True)


def _ground_truth(mask: Path, sample: InspectedSample, classes: ClassTable) -> np.ndarray:
    raw = _sized(read_mask(mask, sample.mask_sha256), sample.size, mask)
    ids = view_ids(classes.to_train_ids(raw), len(classes.classes))
    return np.where(classes.known_raw_ids()[raw], ids, np.uint8(OUTSIDE))


def _sized(ids: np.ndarray, size: tuple[int, int] | None, source: Path) -> np.ndarray:
    if size is not None and ids.shape != tuple(size):
        raise ArtifactError(
            f"{source} has {ids.shape[0]}x{ids.shape[1]} pixels, its image {size[0]}x{size[1]}; drawn on it, it would "
            f"be wrong"
        )
    return ids


def _is_fresh(picture: Picture) -> bool:
    """A picture carries the time of its source, so that an older source counts as a change too."""
    try:
        return picture.file.stat().st_mtime_ns == picture.source.stat().st_mtime_ns
    except OSError:
        return False


def _draw(picture: Picture) -> None:
    try:
        pixels = picture.make()
        time_ns = picture.source.stat().st_mtime_ns
    except (ImageError, ArtifactError) as error:
        picture.file.unlink(missing_ok=True)
        if picture.required:
            raise ArtifactError(
                f"{picture.shows} of sample {picture.sample} cannot be shown: {error}. Run `dvc repro`; where it finds "
                f"nothing to do, delete {picture.source} first"
            ) from error
        return
    with replacing(picture.file) as temporary:
        write_mask(temporary, pixels)
        os.utime(temporary, ns=(time_ns, time_ns))
