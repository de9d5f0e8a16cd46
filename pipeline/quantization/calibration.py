"""The images from which the ranges of activations are taken: of train, from the darkest to the brightest."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.data.files import replacing
from pipeline.data.images import read_image
from pipeline.data.samples import Sample
from pipeline.errors import DatasetError

CANDIDATES = 4  # decoded for each one that is chosen


def choose_calibration(samples: Sequence[Sample], count: int) -> list[Sample]:
    """Spread evenly over the list first and over brightness then; darkest and brightest of the first are among them.

    A range that is too wide costs a little resolution; one that is too narrow clips what it has not seen.

    Raises:
        DatasetError: fewer images than asked for.
    """
    if len(samples) < count:
        raise DatasetError(
            f"{len(samples)} training images, quantization.calibration_images asks for {count}; lower it in params.yaml"
        )
    brightness = {
        sample: float(read_image(sample.image, sample.image_sha256).mean())
        for sample in spread(samples, CANDIDATES * count)
    }
    return spread(sorted(brightness, key=brightness.__getitem__), count)


def write_calibration(path: Path, samples: Sequence[Sample]) -> None:
    """The list that the card names: which images, and what their bytes were."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["id", "image_sha256"])
        rows.writerows([sample.id, sample.image_sha256] for sample in samples)


def spread(samples: Sequence[Sample], count: int) -> list[Sample]:
    """`count` different samples from the first to the last, or all where there are fewer."""
    places = np.linspace(0, len(samples) - 1, min(count, len(samples)))
    return [samples[round(place)] for place in places]
