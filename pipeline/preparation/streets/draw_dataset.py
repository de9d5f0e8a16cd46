"""The embedded dataset: street scenes that are drawn instead of downloaded."""

from pathlib import Path

from pipeline.data.samples import UNLABELLED
from pipeline.params.dataset import StreetsParams
from pipeline.preparation.adapter import RawDataset, RawSample
from pipeline.preparation.streets.broken import write_broken_samples
from pipeline.preparation.streets.png import write_png
from pipeline.preparation.streets.sequences import sequence_frame, sequence_world
from pipeline.preparation.streets.street_classes import STREET_CLASSES

SEED = 20260
"""Fixes every pixel. It is part of the dataset, like a version number, hence no parameter."""


def draw_streets(streets: StreetsParams, out: Path) -> RawDataset:
    """Draw the dataset into `out/images/<id>.png` (RGB) and `out/raw_masks/<id>.png` (8-bit raw ids).

    A frame depends on SEED, its split, the numbers of its sequence and itself, and the size; not on how many others
    are drawn. Sequences are different streets; the frames of one are a drive through it.

    Raises:
        DiskFull: no space left under `out`.
    """
    images, masks = out / "images", out / "raw_masks"
    samples: list[RawSample] = []
    counts = {
        "train": streets.train_sequences,
        "val": streets.val_sequences,
        "test": streets.test_sequences,
        UNLABELLED: streets.unlabelled_sequences,
    }
    for split, count in counts.items():
        for sequence in range(count):
            samples += _draw_sequence(split, sequence, streets, images, masks)
    if streets.broken_items:
        samples += write_broken_samples(samples, SEED, streets.height, streets.width, images, masks)
    return RawDataset(STREET_CLASSES, samples)


def _draw_sequence(split: str, sequence: int, streets: StreetsParams, images: Path, masks: Path) -> list[RawSample]:
    name = f"{split}_s{sequence:02d}"
    world = sequence_world(SEED, split, sequence)
    samples = []
    for frame in range(streets.frames_per_sequence):
        image, mask = sequence_frame(world, SEED, split, sequence, frame, streets.height, streets.width)
        sample_id = f"{name}_f{frame:02d}"
        labels = None if split == UNLABELLED else masks / f"{sample_id}.png"
        write_png(images / f"{sample_id}.png", image)
        if labels is not None:
            write_png(labels, mask)
        samples.append(RawSample(sample_id, split, name, images / f"{sample_id}.png", labels))
    return samples
