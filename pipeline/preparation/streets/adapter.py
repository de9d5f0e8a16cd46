"""The embedded dataset: street scenes that are drawn instead of downloaded."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from pydantic import Field

from pipeline.data.samples import SPLITS, UNLABELLED
from pipeline.params.dataset import DatasetParams
from pipeline.params.sections import Count, Index, section
from pipeline.preparation.adapter import RawDataset, RawSample
from pipeline.preparation.streets.street_classes import STREET_CLASSES


class Streets:
    """Draws sequences: each is a short drive through a street of its own."""

    @section
    class Params:
        """How many streets are drawn, and how large."""

        height: Annotated[int, Field(ge=64)] = 128  # pixels; few, so that two CPU cores train in minutes
        width: Annotated[int, Field(ge=64)] = 192  # pixels
        train_sequences: Count = 24
        val_sequences: Count = 4
        test_sequences: Count = 8
        unlabelled_sequences: Index = 6  # drawn without masks
        frames_per_sequence: Count = 8
        broken_items: bool = True  # add a sample for each kind of defect, so that curation has work

        def sequences(self) -> Iterator[tuple[str, int]]:
            """Split and number of each sequence."""
            for split in SPLITS:
                yield from ((split, number) for number in range(getattr(self, f"{split}_sequences")))

    @staticmethod
    def read(dataset: DatasetParams, drawn: Path) -> RawDataset:
        """Draw the dataset into `drawn`/images/ID.png (RGB) and `drawn`/raw_masks/ID.png (8-bit raw ids).

        A frame depends on its split, the numbers of its sequence and itself, and the size; not on how many
        others are drawn.

        Raises:
            DiskFull: no space left under `drawn`.
        """
        # Here, because they import OpenCV, and this file is imported whenever parameters are read.
        from pipeline.preparation.streets.broken import encode_png, write_broken_samples, write_sample
        from pipeline.preparation.streets.street import Street

        size = dataset.options.height, dataset.options.width
        samples: list[RawSample] = []
        for split, number in dataset.options.sequences():
            street, sequence = Street(split, number), f"{split}_s{number:02d}"
            for frame in range(dataset.options.frames_per_sequence):
                name = f"{sequence}_f{frame:02d}"
                mask_file = None if split == UNLABELLED else drawn / f"raw_masks/{name}.png"
                sample = RawSample(name, split, sequence, drawn / f"images/{name}.png", mask_file)
                samples.append(write_sample(sample, *map(encode_png, street.frame(frame, *size))))
        if dataset.options.broken_items:
            samples += write_broken_samples(samples, *size, drawn)
        return RawDataset(STREET_CLASSES, samples)
