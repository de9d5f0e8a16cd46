"""Any raw dataset becomes one sample list, one class table and masks of train ids."""

import shutil
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipeline.data.classes import IGNORE_INDEX, OUTSIDE_TABLE, ClassTable
from pipeline.data.files import replacing
from pipeline.data.images import ImageError, read_image, read_mask, write_mask
from pipeline.data.samples import SPLITS, UNLABELLED, Sample, write_samples
from pipeline.params import DatasetParams
from pipeline.preparation import ADAPTERS
from pipeline.preparation.adapter import PrepareError, RawDataset, RawSample
from pipeline.preparation.pairs import complain

THREADS = 2
"""Decoding leaves Python's lock, so a second thread hides reading behind it; more do not help on a laptop."""


NO_PIXELS = np.zeros(256, dtype=np.int64)


class Conversion(NamedTuple):
    sample: Sample
    raw_pixels: np.ndarray  # pixels of each raw id, int64 (256,); all 0 where the mask is unusable
    problem: str | None  # why the mask is unusable


def prepare_dataset(dataset: DatasetParams, out: Path) -> None:
    """Write `out`/classes.json, `out`/masks/ID.png (8-bit train ids) and, last of all, `out`/samples.csv.

    Images stay where they are. A mask that is damaged or not one channel of 8 bits stays too, and in the list: it is
    for `curate` to reject, with a reason.

    Raises:
        PrepareError: the dataset is not laid out as its adapter expects, or its masks do not go with its class table.
    """
    _clear(out)
    raw = ADAPTERS[dataset.adapter](dataset, out / "raw")
    _check_list(raw, dataset.source)
    with ThreadPoolExecutor(THREADS) as pool:
        conversions = list(pool.map(lambda sample: convert_mask(sample, raw.classes, out / "masks"), raw.samples))
    check_masks_fit_table(conversions, raw.classes)
    raw.classes.save(out / "classes.json")
    write_samples(out / "samples.csv", [conversion.sample for conversion in conversions])
    print(_summary(conversions, raw.classes))


def convert_mask(raw: RawSample, classes: ClassTable, masks: Path) -> Conversion:
    """Write one mask as train ids, all void for an unlabelled image; a mask that cannot be read is left as it is."""
    if raw.mask is None:
        return _without_labels(raw, masks)
    try:
        raw_ids = read_mask(raw.mask)
    except ImageError as error:
        return Conversion(Sample(raw.id, raw.split, raw.sequence, raw.image, raw.mask), NO_PIXELS, str(error))
    sample = _save_mask(raw, classes.to_train_ids(raw_ids), masks)
    return Conversion(sample, np.bincount(raw_ids.ravel(), minlength=256), None)


def _without_labels(raw: RawSample, masks: Path) -> Conversion:
    try:
        height, width, _ = read_image(raw.image).shape
    except ImageError:
        height, width = 1, 1  # curation will say what is wrong with the image
    void = np.full((height, width), IGNORE_INDEX, dtype=np.uint8)
    return Conversion(_save_mask(raw, void, masks), NO_PIXELS, None)


def _save_mask(raw: RawSample, train_ids: np.ndarray, masks: Path) -> Sample:
    mask = masks / f"{raw.id}.png"
    with replacing(mask) as temporary:
        write_mask(temporary, train_ids)
    return Sample(raw.id, raw.split, raw.sequence, raw.image, mask)


def check_masks_fit_table(conversions: Sequence[Conversion], classes: ClassTable) -> None:
    """A few odd masks are for `curate`; a class table that fits none or half of them is a mistake of the dataset.

    Raises:
        PrepareError: says which raw ids the masks hold and which the table knows.
    """
    train_ids = classes.to_train_ids(np.arange(256, dtype=np.uint8))
    labelled = [conversion for conversion in conversions if conversion.sample.split != UNLABELLED]
    usable = [conversion.raw_pixels for conversion in labelled if conversion.problem is None]
    if not usable:
        raise PrepareError(f"none of the {len(labelled)} masks can be used; the first: {labelled[0].problem}")
    pixels = np.sum(usable, axis=0)
    foreign = sum(bool(mask[train_ids == OUTSIDE_TABLE].any()) for mask in usable)
    ids = (
        f"the masks hold {_id_list(pixels > 0)}; the class table {classes.dataset!r} knows "
        f"{_id_list(train_ids < OUTSIDE_TABLE)} as classes and {_id_list(train_ids == IGNORE_INDEX)} as void. "
        f"Correct the ids of the class table, or choose the adapter that goes with these masks (dataset.adapter)"
    )
    if not pixels[train_ids < OUTSIDE_TABLE].any():
        raise PrepareError(f"no pixel of {len(usable)} masks belongs to a class: {ids}")
    if 2 * foreign > len(usable):
        raise PrepareError(f"{foreign} of {len(usable)} masks hold ids outside the class table: {ids}")


def _check_list(raw: RawDataset, source: str) -> None:
    splits = {sample.split for sample in raw.samples}
    if "train" not in splits:
        raise PrepareError(f"no training sample in {source}; found splits: {', '.join(sorted(splits)) or 'none'}")
    complain(f"samples of {source} are in a split other than {', '.join(SPLITS)}:", sorted(splits - set(SPLITS)))
    uses = Counter(sample.id.lower() for sample in raw.samples)
    complain(f"ids of {source} are used more than once:", [name for name, count in uses.items() if count > 1])


def _clear(out: Path) -> None:
    """Remove what an earlier run wrote, the sample list first: without it nothing here looks finished."""
    for name in ("samples.csv", "classes.json"):
        (out / name).unlink(missing_ok=True)
    for name in ("masks", "raw"):
        if (out / name).exists():
            shutil.rmtree(out / name)


def _id_list(chosen: np.ndarray) -> str:
    ids = np.flatnonzero(chosen).tolist()
    return "ids " + ", ".join(map(str, ids[:40])) + (" ..." if len(ids) > 40 else "") if ids else "no id"


def _summary(conversions: Sequence[Conversion], classes: ClassTable) -> str:
    counts = Counter(conversion.sample.split for conversion in conversions)
    unusable = sum(conversion.problem is not None for conversion in conversions)
    parts = ", ".join(f"{split} {counts[split]}" for split in SPLITS if split in counts)
    return f"prepared {len(conversions)} samples, {len(classes.classes)} classes: {parts}; unusable masks: {unusable}"
