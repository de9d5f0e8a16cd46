"""Choose the training images that set the int8 ranges of activations, from the darkest to the brightest."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.data.files import replacing
from pipeline.data.images import read_image
from pipeline.data.samples import Sample
from pipeline.errors import DatasetError

CANDIDATES = 4  # images decoded for each chosen one


def choose_calibration(samples: Sequence[Sample], count: int) -> list[Sample]:
    """Choose `count` images: take candidates evenly over the list, then spread the choice evenly over brightness.

    The darkest and the brightest candidate are chosen. A range that is too wide costs a little resolution; one that is
    too narrow clips unseen values.

    Raises:
        DatasetError: there are fewer than `count` images.
    """
    if len(samples) < count:
        raise DatasetError(
            f"train has {len(samples)} images, but quantization.calibration_images is {count}; lower it in params.yaml"
        )
    brightness = {
        sample: float(read_image(sample.image, sample.image_sha256).mean())
        for sample in spread(samples, CANDIDATES * count)
    }
    return spread(sorted(brightness, key=brightness.__getitem__), count)


def write_calibration(path: Path, samples: Sequence[Sample]) -> None:
    """Write the list of calibration images with the hash of each; the card gives the hash of the list."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["id", "image_sha256"])
        rows.writerows([sample.id, sample.image_sha256] for sample in samples)


def spread(samples: Sequence[Sample], count: int) -> list[Sample]:
    """Return `count` different samples, evenly from the first to the last, or all if there are fewer."""
    places = np.linspace(0, len(samples) - 1, min(count, len(samples)))
    return [samples[round(place)] for place in places]
