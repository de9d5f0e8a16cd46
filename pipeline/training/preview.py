"""A picture of a network's prediction during its training."""

from pathlib import Path

import numpy as np
from PIL import Image

from models.segmenter import Segmenter
from pipeline.data.classes import IGNORE_INDEX, ClassTable
from pipeline.data.files import replacing
from pipeline.data.images import read_image, read_labels
from pipeline.data.samples import Sample
from pipeline.training.prediction import predicted_labels

ENLARGED_TO = 320  # pixels, the least width of each of the three pictures


def write_preview(segmenter: Segmenter, sample: Sample, classes: ClassTable, path: Path) -> None:
    """Write image, label and prediction of a sample side by side, without changing the training."""
    image, labels = read_image(sample.image, sample.image_sha256), read_labels(sample, classes)
    palette = np.zeros((IGNORE_INDEX + 1, 3), np.uint8)  # unlabelled pixels stay black
    palette[: len(classes.classes)] = [entry.color for entry in classes.classes]
    row = np.concatenate([image, palette[labels], palette[predicted_labels(segmenter, image)]], axis=1)
    times = -(-ENLARGED_TO // image.shape[1])
    with replacing(path) as temporary:
        Image.fromarray(row.repeat(times, axis=0).repeat(times, axis=1)).save(temporary, format="PNG")
