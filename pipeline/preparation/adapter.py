"""What an adapter is: it knows one raw layout on disk and nothing else."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pipeline.data.classes import ClassTable
from pipeline.errors import SegdistillError


class PrepareError(SegdistillError):
    """A dataset that is not laid out as its adapter expects."""


class RawSample(NamedTuple):
    """One pair as it lies in the source: the mask still holds raw ids, and there is none in the unlabelled split."""

    id: str
    split: str
    sequence: str
    image: Path
    mask: Path | None


class RawDataset(NamedTuple):
    classes: ClassTable
    samples: Sequence[RawSample]
