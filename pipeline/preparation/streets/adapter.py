"""The embedded dataset: street scenes that are drawn instead of downloaded."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

from pydantic import Field

from pipeline.data.samples import SPLITS, UNLABELLED
from pipeline.params.dataset import DatasetParams
from pipeline.params.sections import Count, Index, section
from pipeline.preparation.adapter import RawDataset, RawSample
from pipeline.preparation.camvid import CAMVID_CLASSES

STREET_CLASSES = replace(CAMVID_CLASSES, dataset="streets")  # the scenes have CamVid's raw ids and colors


class Streets:
    """Drawn sequences; each is a short drive through a street of its own."""

    @section
    class Params:
        """The number of drawn images, and their size."""

        height: Annotated[int, Field(ge=64)] = 96  # pixels; small, so that two CPU cores train in minutes
        width: Annotated[int, Field(ge=64)] = 160  # pixels
        train_sequences: Count = 24  # number of drives; all frames of a drive show the same street
        val_sequences: Count = 6  # number of drives
        test_sequences: Count = 8  # number of drives
        unlabelled_sequences: Index = 4  # number of drives, drawn without masks
        frames_per_sequence: Count = 5  # number of images of each drive
        broken_items: bool = True  # add one sample with each kind of defect, for curation to find

    @staticmethod
    def read(dataset: DatasetParams, drawn: Path) -> RawDataset:
        """Draw the dataset into `drawn`/images/ID.png (RGB) and `drawn`/raw_masks/ID.png (8-bit raw ids).

        A frame depends only on its split, the numbers of its sequence and of the frame, and the size. It does not
        depend on how many others are drawn. Raises DiskFull if no space is left under `drawn`.
        """
        # Imported here, because they import OpenCV, and this file is imported whenever parameters are read.
        from pipeline.preparation.streets.broken import write_broken_samples, write_sample
        from pipeline.preparation.streets.street import Street

        options = dataset.options
        samples: list[RawSample] = []
        for split in SPLITS:
            for number in range(getattr(options, f"{split}_sequences")):
                street, sequence = Street(split, number), f"{split}_s{number:02d}"
                for frame in range(options.frames_per_sequence):
                    name = f"{sequence}_f{frame:02d}"
                    mask_file = None if split == UNLABELLED else drawn / f"raw_masks/{name}.png"
                    sample = RawSample(name, split, sequence, drawn / f"images/{name}.png", mask_file)
                    samples.append(write_sample(sample, *street.frame(frame, options.height, options.width)))
        if options.broken_items:
            samples += write_broken_samples(samples, options.height, options.width, drawn)
        return RawDataset(STREET_CLASSES, samples)
