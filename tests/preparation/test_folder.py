from pathlib import Path

import pytest

from pipeline.data.classes import LabelClass
from pipeline.preparation.adapter import PrepareError
from pipeline.preparation.folder import read_folder
from tests.preparation.pictures import draw_image, draw_mask

GROUND = "{name: ground, color: [128, 64, 128], ids: [1]}"


def test_lists_splits_sequences_and_classes(folder_tree: Path) -> None:
    classes, samples = read_folder(folder_tree)
    assert [(s.id, s.split, s.sequence) for s in samples] == [
        ("train_drive_1_0001", "train", "drive_1"),
        ("train_yard", "train", "train_yard"),
        ("val_gate", "val", "val_gate"),
    ]
    assert all(s.image.is_file() and s.mask.is_file() for s in samples)
    assert classes.classes[1] == LabelClass("rest", (0, 0, 142), (2, 3))
    assert classes.void_raw_ids == (9,)


def test_unlabelled_images_need_no_masks(folder_tree: Path) -> None:
    draw_image(folder_tree / "images/unlabelled/drive_9/0001.png", 7)
    sample = read_folder(folder_tree).samples[-1]
    assert (sample.id, sample.split, sample.sequence) == ("unlabelled_drive_9_0001", "unlabelled", "drive_9")
    assert sample.image.is_file()
    assert sample.mask is None


def test_unlabelled_images_with_masks_are_a_contradiction(folder_tree: Path) -> None:
    draw_image(folder_tree / "images/unlabelled/a.png", 7)
    draw_mask(folder_tree / "masks/unlabelled/a.png", 1)
    with pytest.raises(PrepareError, match=r"masks/unlabelled is there, but .* carry no labels"):
        read_folder(folder_tree)


def test_ids_stay_unique_file_names(folder_tree: Path) -> None:
    for name in ("a b", "a_b", "A_B", "ä", "a" * 150):
        draw_image(folder_tree / f"images/val/{name}.png", 1)
        draw_mask(folder_tree / f"masks/val/{name}.png", 1)
    ids = [s.id for s in read_folder(folder_tree).samples]
    assert len({i.lower() for i in ids}) == 8
    assert all(len(i) <= 100 and i.isascii() and not set(i) & set("/\\ :") for i in ids)


def test_a_name_in_two_splits_is_two_samples(folder_tree: Path) -> None:
    draw_image(folder_tree / "images/val/yard.png", 5)
    draw_mask(folder_tree / "masks/val/yard.png", 1)
    assert [s.id for s in read_folder(folder_tree).samples if "yard" in s.id] == ["train_yard", "val_yard"]


def test_without_splits_it_says_how_to_lay_it_out(tmp_path: Path, folder_tree: Path) -> None:
    flat = tmp_path / "flat"
    draw_image(flat / "images/a.png", 0)
    (folder_tree / "classes.yaml").rename(flat / "classes.yaml")
    with pytest.raises(
        PrepareError, match=r"images holds a\.png, and should hold .*train, val and test.*masks/train/a\.png"
    ):
        read_folder(flat)


def test_a_folder_that_is_no_split(folder_tree: Path) -> None:
    (folder_tree / "images/validation").mkdir()
    with pytest.raises(PrepareError, match=r"holds train, val, validation, and should"):
        read_folder(folder_tree)


def test_no_classes_file(folder_tree: Path) -> None:
    (folder_tree / "classes.yaml").unlink()
    with pytest.raises(PrepareError, match=r"cannot read .*classes\.yaml: No such file.*classes\.yaml beside"):
        read_folder(folder_tree)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (f"classes: [{GROUND}]\nvoid: []\n", "1 classes, allowed are 2"),
        ("classes: [{name: a, color: [1, 2, 3], ids: [1], id: 4}]\nvoid: []\n", r"classes\.0\.id: unknown key"),
        (
            "classes: [{name: a, color: [1, 2, 3], ids: ['1']}]\nvoid: []\n",
            r"classes\.0\.ids\.0: .*integer \(got '1'\)",
        ),
        ("classes: [{name: a, color: [1, 2, 300], ids: [1]}]\nvoid: []\n", r"classes\.0\.color\.2: .*255 \(got 300\)"),
        ("classes: [{name: a, color: [1, 2], ids: [1]}]\nvoid: []\n", r"classes\.0\.color\.2: missing"),
        ("classes: [{name: a, color: [1, 2, 3], ids: []}]\nvoid: []\n", r"classes\.0\.ids: .*at least 1"),
        ("classes: []\n", r"void: missing"),
        ("", r"\(whole file\): "),
        (f"classes: [{GROUND}, {GROUND.replace('[1]', '[2]').replace('64', '65')}]\nvoid: []\n", "name ground is used"),
        (f"classes: [{GROUND}, {{name: b, color: [1, 2, 3], ids: [1]}}]\nvoid: []\n", "raw id 1 is used"),
        (f"classes: [{GROUND}, {{name: b, color: [1, 2, 3], ids: [2]}}]\nvoid: [2]\n", "raw id 2 is used"),
        ("void: []\nvoid: []\n", "not plain YAML.*duplicate key"),
        ("classes: [\n", "not plain YAML"),
        ("? [a, b]\n: 1\n", "not plain YAML"),
        ("classes: &a [*a]\nvoid: []\n", "not plain YAML"),
    ],
)
def test_wrong_classes(folder_tree: Path, text: str, complaint: str) -> None:
    (folder_tree / "classes.yaml").write_text(text)
    with pytest.raises(PrepareError, match=rf"(?s)classes\.yaml.*{complaint}"):
        read_folder(folder_tree)
