"""What an adapter is: it knows one raw layout on disk and nothing else."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from pipeline.data.classes import ClassTable
from pipeline.params.dataset import DatasetParams
from pipeline.params.sections import section


class RawSample(NamedTuple):
    """One pair as it lies in the source: the mask still holds raw ids, and there is none in the unlabelled split."""

    id: str
    split: str  # "": the dataset has no splits, and dataset.split must divide it
    sequence: str
    image: Path
    mask: Path | None


class RawDataset(NamedTuple):
    classes: ClassTable
    samples: Sequence[RawSample]


@section
class NoOptions:
    """Options of an adapter that has none."""


class Adapter(Protocol):
    """What a line of ADAPTERS names: a class that is never instantiated.

    Its file is imported when parameters are read, so import heavy packages inside `read`.
    """

    Params: type  # declares what `dataset.options` may hold, with defaults

    @staticmethod
    def read(dataset: DatasetParams, drawn: Path) -> RawDataset:
        """List the samples below `dataset.source`; an adapter that makes its images writes them below `drawn`.

        Raises DatasetError if the source is not laid out as the adapter expects.
        """
        ...
