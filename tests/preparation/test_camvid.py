from collections import Counter
from pathlib import Path

import pytest

from pipeline.errors import DatasetError
from pipeline.params.dataset import DatasetParams
from pipeline.preparation.adapter import RawDataset
from pipeline.preparation.camvid import CAMVID_CLASSES, CamVid
from tests.preparation.pictures import draw_image, draw_mask
from tests.raising import raises


def read_camvid(source: Path) -> RawDataset:
    return CamVid.read(DatasetParams(adapter="camvid", source=str(source)), source)


def test_lists_every_frame_with_split_and_sequence(camvid_tree: Path) -> None:
    samples = read_camvid(camvid_tree).samples
    assert [(s.id, s.split, s.sequence) for s in samples] == [
        ("0001TP_006690", "train", "0001TP"),
        ("0016E5_00001", "train", "0016E5"),
        ("0016E5_07959", "val", "0016E5"),
        ("Seq05VD_f00000", "test", "Seq05VD"),
    ]
    assert samples[0].mask == camvid_tree / "trainannot/0001TP_006690.png"
    assert all(s.image.is_file() and s.mask and s.mask.is_file() for s in samples)


def test_class_table() -> None:
    assert len(CAMVID_CLASSES.classes) == 11
    assert CAMVID_CLASSES.names[3] == "road"
    assert CAMVID_CLASSES.void_raw_ids == (11,)


@pytest.mark.parametrize("suffix", ["jpg", "webp", "JPG"])
def test_takes_images_of_any_format(camvid_tree: Path, suffix: str) -> None:
    (camvid_tree / "val/0016E5_07959.png").unlink()
    draw_image(camvid_tree / f"val/0016E5_07959.{suffix}", 9)
    assert read_camvid(camvid_tree).samples[2].image.name == f"0016E5_07959.{suffix}"


def test_a_stem_without_underscore_is_its_own_sequence(camvid_tree: Path) -> None:
    draw_image(camvid_tree / "test/still.png", 9)
    draw_mask(camvid_tree / "testannot/still.png", 0)
    assert {s.id: s.sequence for s in read_camvid(camvid_tree).samples}["still"] == "still"


def test_ignores_what_operating_systems_leave(camvid_tree: Path) -> None:
    for name in (".DS_Store", "Thumbs.db", "._0001TP_006690.png"):
        (camvid_tree / "train" / name).write_bytes(b"x")
    assert len(read_camvid(camvid_tree).samples) == 4


def test_wrong_root_says_what_lies_there_instead(tmp_path: Path, camvid_tree: Path) -> None:
    with raises(DatasetError, tmp_path / "train", "camvid", "dataset.source"):
        read_camvid(tmp_path)
    with raises(DatasetError, tmp_path / "nowhere/else/train", "dataset.source"):
        read_camvid(tmp_path / "nowhere/else")


def test_missing_masks_are_named_and_counted(camvid_tree: Path) -> None:
    for number in range(5):
        draw_image(camvid_tree / f"val/new_{number}.png", number)
    with raises(DatasetError, "5 image", camvid_tree / "valannot", *(f"new_{n}.png" for n in range(3))) as caught:
        read_camvid(camvid_tree)
    assert "new_3" not in str(caught.value)


def test_a_mask_without_image(camvid_tree: Path) -> None:
    draw_mask(camvid_tree / "testannot/alone.png", 0)
    with raises(DatasetError, "1 mask", camvid_tree / "testannot", "alone.png"):
        read_camvid(camvid_tree)


def test_empty_split(camvid_tree: Path) -> None:
    (camvid_tree / "val/0016E5_07959.png").unlink()
    with raises(DatasetError, camvid_tree / "val", "0 images"):
        read_camvid(camvid_tree)


def test_two_images_of_one_stem(camvid_tree: Path) -> None:
    draw_image(camvid_tree / "train/0001TP_006690.jpg", 9)
    with raises(DatasetError, "1 image", camvid_tree / "train", "0001TP_006690.jpg", "0001TP_006690.png"):
        read_camvid(camvid_tree)


def test_one_frame_in_two_splits(camvid_tree: Path) -> None:
    draw_image(camvid_tree / "val/0001TP_006690.png", 9)
    draw_mask(camvid_tree / "valannot/0001TP_006690.png", 0)
    with raises(DatasetError, "1 frame", camvid_tree, "0001TP_006690"):
        read_camvid(camvid_tree)


def test_a_foreign_file_among_the_images(camvid_tree: Path) -> None:
    (camvid_tree / "train/notes.txt").write_text("x")
    with raises(DatasetError, "1 file", camvid_tree / "train", "notes.txt"):
        read_camvid(camvid_tree)


def test_the_real_camvid(camvid: Path) -> None:
    samples = read_camvid(camvid).samples
    assert Counter(s.split for s in samples) == {"train": 367, "val": 101, "test": 233}
    assert {s.sequence for s in samples if s.split == "test"} == {"0001TP", "Seq05VD"}
