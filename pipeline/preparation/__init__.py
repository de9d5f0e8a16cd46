"""The registry of dataset adapters: raw layout on disk -> list of samples with raw ids."""

from collections.abc import Callable
from pathlib import Path

from pipeline.params.dataset import DatasetParams
from pipeline.preparation.adapter import RawDataset
from pipeline.preparation.camvid import read_camvid
from pipeline.preparation.cityscapes import read_cityscapes
from pipeline.preparation.folder import read_folder


def _streets(dataset: DatasetParams, drawn: Path) -> RawDataset:
    # Imported here, because only this dataset needs the renderer.
    from pipeline.preparation.streets.draw_dataset import draw_streets

    return draw_streets(dataset.streets, drawn)


ADAPTERS: dict[str, Callable[[DatasetParams, Path], RawDataset]] = {
    "streets": _streets,
    "camvid": lambda dataset, _: read_camvid(Path(dataset.source)),
    "cityscapes": lambda dataset, _: read_cityscapes(Path(dataset.source)),
    "folder": lambda dataset, _: read_folder(Path(dataset.source), dataset.split),
}
"""What `dataset.adapter` may name. The second argument is where an adapter that makes its images may put them."""
