"""The augmentation that the training parameters describe."""

from dataclasses import fields

from pipeline.data.transforms import Augmentation
from pipeline.params import TrainingParams


def augmentation_of(training: TrainingParams) -> Augmentation:
    """Pick the fields of `training` that have the same names."""
    return Augmentation(**{field.name: getattr(training, field.name) for field in fields(Augmentation)})
