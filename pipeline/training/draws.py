"""The draws that the training parameters describe."""

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from pipeline.data.classes import ClassTable
from pipeline.data.dataset import TrainingDraws
from pipeline.data.decoded import DecodedPairs
from pipeline.data.samples import Sample
from pipeline.data.transforms import Augmentation
from pipeline.params.training import TrainingParams


def training_draws(
    samples: Sequence[Sample], classes: ClassTable, training: TrainingParams, seed: int, scratch: Path
) -> TrainingDraws:
    """Decoded images are kept under `scratch`, for all trainings together.

    Raises:
        ImageError: an image cannot be read.
    """
    values = {field.name: getattr(training, field.name) for field in fields(Augmentation)}
    values |= {name: training.image_scale * values[name] for name in ("scale_min", "scale_max")}
    augmentation = Augmentation(**values)
    pairs = DecodedPairs(scratch / "decoded-images", samples, classes, round(training.decoded_gib * 2**30))
    return TrainingDraws(pairs, samples, augmentation, seed)
