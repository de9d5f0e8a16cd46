from pathlib import Path

import numpy as np

from pipeline.data.classes import IGNORE_INDEX
from pipeline.errors import DatasetError
from pipeline.params.dataset import DatasetParams
from pipeline.preparation.adapter import RawDataset
from pipeline.preparation.cityscapes import CITYSCAPES_CLASSES, Cityscapes
from tests.preparation.pictures import draw_image
from tests.raising import raises


def read_cityscapes(source: Path) -> RawDataset:
    return Cityscapes.read(DatasetParams(adapter="cityscapes", source=str(source)), source)


def test_lists_train_and_val(cityscapes_tree: Path) -> None:
    samples = read_cityscapes(cityscapes_tree).samples
    assert [(s.id, s.split, s.sequence) for s in samples] == [
        ("aachen_000003_000019", "train", "aachen_000003"),
        ("munster_000003_000019", "val", "munster_000003"),
    ]
    assert samples[1].mask is not None
    assert samples[1].mask.name == "munster_000003_000019_gtFine_labelIds.png"
    assert all(s.image.is_file() and s.mask and s.mask.is_file() for s in samples)


def test_train_ids_are_the_official_ones() -> None:
    official = [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]
    translated = CITYSCAPES_CLASSES.to_train_ids(np.arange(256, dtype=np.uint8))
    assert translated[official].tolist() == list(range(19))
    assert (np.delete(translated, official) == IGNORE_INDEX).all()
    assert np.flatnonzero(CITYSCAPES_CLASSES.known_raw_ids()).tolist() == [*range(34), 255]


def test_only_a_half_of_the_download(cityscapes_tree: Path) -> None:
    (cityscapes_tree / "gtFine").rename(cityscapes_tree / "elsewhere")
    with raises(DatasetError, cityscapes_tree / "gtFine/train", "elsewhere", "leftImg8bit", "dataset.source"):
        read_cityscapes(cityscapes_tree)


def test_missing_mask(cityscapes_tree: Path) -> None:
    draw_image(cityscapes_tree / "leftImg8bit/val/munster/munster_000004_000019_leftImg8bit.png", 3)
    with raises(DatasetError, "1 image", "munster/munster_000004_000019_gtFine_labelIds.png"):
        read_cityscapes(cityscapes_tree)
