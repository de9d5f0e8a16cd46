"""The labels of a sample: its mask as it lies in the dataset, seen through the class table."""

from pathlib import Path

import numpy as np

from pipeline.data.classes import IGNORE_INDEX, ClassTable
from pipeline.data.images import image_size, read_mask
from pipeline.data.samples import Sample


def read_labels(sample: Sample, classes: ClassTable) -> np.ndarray:
    """Read the train ids of a sample, uint8 (H, W); all IGNORE_INDEX where it has no mask."""
    if sample.mask is None:
        width, height = image_size(sample.image)
        return np.full((height, width), IGNORE_INDEX, dtype=np.uint8)
    return read_train_ids(sample.mask, classes, sample.mask_sha256)


def read_train_ids(mask: Path, classes: ClassTable, listed: str = "") -> np.ndarray:
    """Read the train ids of a mask of the dataset, uint8 (H, W); `listed` as of `read_image`."""
    return classes.to_train_ids(read_mask(mask, listed))
