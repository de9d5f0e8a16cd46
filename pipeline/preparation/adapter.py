"""Define an adapter: the code that reads one raw layout on disk."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from pipeline.data.classes import ClassTable
from pipeline.params.dataset import DatasetParams
from pipeline.params.sections import section


class RawSample(NamedTuple):
    """One image and its mask in the source. The mask holds raw ids; it is None in the unlabelled split."""

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
    """The options of an adapter without options."""


class Adapter(Protocol):
    """The interface of the classes in ADAPTERS, which are never instantiated.

    Its file is imported when parameters are read, so import heavy packages inside `read`.
    """

    Params: type  # declares what `dataset.options` may hold, with defaults

    @staticmethod
    def read(dataset: DatasetParams, drawn: Path) -> RawDataset:
        """List the samples below `dataset.source`; an adapter that generates its images writes them below `drawn`.

        Raises DatasetError if the source does not have the layout that the adapter reads.
        """
        ...
