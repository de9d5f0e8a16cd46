import os
import unicodedata
from collections import Counter
from pathlib import Path

import pytest

from pipeline.data.classes import LabelClass
from pipeline.errors import DatasetError
from pipeline.params.dataset import DatasetParams, SplitParams
from pipeline.preparation.adapter import RawDataset
from pipeline.preparation.folder import LARGEST, Folder
from pipeline.preparation.prepare import divided
from tests.preparation.pictures import draw_image, draw_mask
from tests.raising import raises

GROUND = "{name: ground, color: [128, 64, 128], ids: [1]}"


def read(source: Path, sequence_pattern: str = "", **split: object) -> RawDataset:
    options = Folder.Params(sequence_pattern=sequence_pattern)
    chosen = SplitParams(**split)  # type: ignore[reportArgumentType]
    return Folder.read(DatasetParams(adapter="folder", source=str(source), split=chosen, options=options), source)


def test_lists_splits_sequences_and_classes(folder_tree: Path) -> None:
    classes, samples = read(folder_tree)
    assert [(s.id, s.split, s.sequence) for s in samples] == [
        ("train_drive_1_0001", "train", "drive_1"),
        ("train_yard", "train", "train_yard"),
        ("val_gate", "val", "val_gate"),
    ]
    assert all(s.image.is_file() and s.mask and s.mask.is_file() for s in samples)
    assert classes.classes[1] == LabelClass("rest", (0, 0, 142), (2, 3))
    assert classes.void_raw_ids == (9,)


def test_void_may_be_colors(folder_tree: Path) -> None:
    """They stand for the first void id, or without one for an id that no class has."""
    path = folder_tree / "classes.yaml"
    path.write_text(text := path.read_text() + "void_colors: [[0, 0, 0], [255, 255, 255]]\n")
    table = read(folder_tree).classes
    assert table.void_colors == ((0, 0, 0), (255, 255, 255))
    assert table.raw_ids_by_color()[255, 255, 255] == 9
    path.write_text(text.replace("void: [9]", "void: []").replace("[2, 3]", "[2, 255]"))
    assert read(folder_tree).classes.void_raw_ids == (254,)
    path.write_text(text.replace("[0, 0, 0]", "[0, 0, 142]"))
    with raises(DatasetError, "own/classes.yaml") as caught:
        read(folder_tree)
    assert "(0, 0, 142)" in str(caught.value)


def test_unlabelled_images_need_no_masks(folder_tree: Path) -> None:
    draw_image(folder_tree / "images/unlabelled/drive_9/0001.png", 7)
    sample = read(folder_tree).samples[-1]
    assert (sample.id, sample.split, sample.sequence) == ("unlabelled_drive_9_0001", "unlabelled", "drive_9")
    assert sample.image.is_file()
    assert sample.mask is None


def test_unlabelled_images_with_masks_are_a_contradiction(folder_tree: Path) -> None:
    draw_image(folder_tree / "images/unlabelled/a.png", 7)
    draw_mask(folder_tree / "masks/unlabelled/a.png", 1)
    with raises(DatasetError, folder_tree / "masks/unlabelled", folder_tree / "images/unlabelled"):
        read(folder_tree)


def test_ids_stay_unique_file_names(folder_tree: Path) -> None:
    for name in ("a b", "a_b", "A_B", "ä", "a" * 150):
        draw_image(folder_tree / f"images/val/{name}.png", 1)
        draw_mask(folder_tree / f"masks/val/{name}.png", 1)
    ids = [s.id for s in read(folder_tree).samples]
    assert len({i.lower() for i in ids}) == 8
    assert all(len(i) <= 100 and i.isascii() and not set(i) & set("/\\ :") for i in ids)


def test_a_name_in_two_splits_is_two_samples(folder_tree: Path) -> None:
    draw_image(folder_tree / "images/val/yard.png", 5)
    draw_mask(folder_tree / "masks/val/yard.png", 1)
    assert [s.id for s in read(folder_tree).samples if "yard" in s.id] == ["train_yard", "val_yard"]


def test_without_splits_it_says_how_to_lay_it_out(tmp_path: Path, folder_tree: Path) -> None:
    flat = tmp_path / "flat"
    draw_image(flat / "images/street.png", 0)
    (folder_tree / "classes.yaml").rename(flat / "classes.yaml")
    with raises(DatasetError, flat / "images", "street.png", "masks/train/a.png"):
        read(flat)


def test_a_folder_that_is_no_split(folder_tree: Path) -> None:
    (folder_tree / "images/validation").mkdir()
    with raises(DatasetError, folder_tree / "images", "validation", "masks/train/a.png"):
        read(folder_tree)


def test_no_classes_file(folder_tree: Path) -> None:
    (folder_tree / "classes.yaml").unlink()
    with raises(DatasetError, folder_tree / "classes.yaml", "masks/train/a.png"):
        read(folder_tree)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (f"classes: [{GROUND}]\nvoid: []\n", ("1 class", "255")),
        ("classes: [{name: a, color: [1, 2, 3], ids: [1], id: 4}]\nvoid: []\n", ("classes.0.id:",)),
        ("classes: [{name: a, color: [1, 2, 3], ids: ['1']}]\nvoid: []\n", ("classes.0.ids.0:", "'1'")),
        ("classes: [{name: a, color: [1, 2, 300], ids: [1]}]\nvoid: []\n", ("classes.0.color.2:", "255", "300")),
        ("classes: [{name: a, color: [1, 2], ids: [1]}]\nvoid: []\n", ("classes.0.color.2:",)),
        ("classes: [{name: a, color: [1, 2, 3], ids: []}]\nvoid: []\n", ("classes.0.ids:", "[]")),
        ("classes: []\n", ("void:",)),
        ("", ("None",)),
        (f"classes: [{GROUND}, {GROUND.replace('[1]', '[2]').replace('64', '65')}]\nvoid: []\n", ("'own'", "ground")),
        (f"classes: [{GROUND}, {{name: b, color: [1, 2, 3], ids: [1]}}]\nvoid: []\n", ("'own'", "id 1")),
        (f"classes: [{GROUND}, {{name: b, color: [1, 2, 3], ids: [2]}}]\nvoid: [2]\n", ("'own'", "id 2")),
        ("void: []\nvoid: []\n", ("YAML", '"void"', "line 2")),
        ("classes: [\n", ("YAML", "line 2")),
        ("? [a, b]\n: 1\n", ("YAML", "tuple")),
        ("classes: &a [*a]\nvoid: []\n", ("YAML", "*a")),
        ("classes: " + "[" * 50_000, ("YAML", "10 lists")),
        (f"classes: [{{name: a, color: [1, 2, 3], ids: [{'9' * 5000}]}}]\nvoid: []\n", ("YAML", "4300 digits")),
        ("classes: [" + "x, " * 50 + "]\nvoid: []\n", ("classes.0:", "classes.19:", "30 more", "`void_colors`")),
        ("classes: " + "x" * 9999 + "\nvoid: []\n", ("classes:", f"'{'x' * 12}...{'x' * 13}'")),
        ("#" * LARGEST + "\n", (f"{LARGEST + 1} bytes",)),
    ],
)
def test_wrong_classes(folder_tree: Path, text: str, named: tuple[str, ...]) -> None:
    (folder_tree / "classes.yaml").write_text(text)
    with raises(DatasetError, "own/classes.yaml", *named):
        read(folder_tree)


def test_a_class_table_in_another_coding(folder_tree: Path) -> None:
    text = (folder_tree / "classes.yaml").read_text()
    (folder_tree / "classes.yaml").write_text(text, encoding="utf-16")
    with raises(DatasetError, "own/classes.yaml", "UTF-8", "0xff"):
        read(folder_tree)


def test_a_pipe_for_a_class_table_is_not_waited_for(folder_tree: Path) -> None:
    (folder_tree / "classes.yaml").unlink()
    os.mkfifo(folder_tree / "classes.yaml")
    with raises(DatasetError, folder_tree / "classes.yaml", "masks/train/a.png"):
        read(folder_tree)


def test_litter_beside_the_splits_is_no_split(folder_tree: Path) -> None:
    for name in ("Thumbs.db", "Icon\r", ".DS_Store"):
        (folder_tree / "images" / name).write_bytes(b"x")
    assert len(read(folder_tree).samples) == 3


def test_a_dataset_without_splits_is_divided_by_sequences(tmp_path: Path, folder_tree: Path) -> None:
    flat = tmp_path / "flat"
    for number in range(30):
        draw_image(flat / f"images/drive_{number // 3}/{number}.png", number)
        draw_mask(flat / f"masks/drive_{number // 3}/{number}.png", 1, 2)
    draw_image(flat / "images/unlabelled/new.png", 99)
    (folder_tree / "classes.yaml").rename(flat / "classes.yaml")
    samples = divided(read(flat, by="sequences").samples, SplitParams(by="sequences", val_share=0.2, test_share=0.1))
    assert Counter(s.split for s in samples) == {"train": 21, "val": 6, "test": 3, "unlabelled": 1}
    assert len({(s.sequence, s.split) for s in samples}) == 11
    with raises(DatasetError, flat / "images", "drive_0", "dataset.split.by"):
        read(flat)


def test_a_pattern_finds_the_sequence_in_a_name(folder_tree: Path) -> None:
    for number in range(4):
        draw_image(folder_tree / f"images/val/tour7_{number}.png", number + 10)
        draw_mask(folder_tree / f"masks/val/tour7_{number}.png", 1, 2)
    samples = read(folder_tree, sequence_pattern="^(tour[0-9]+)_").samples
    assert Counter(s.sequence for s in samples) == {"tour7": 4, "drive_1": 1, "train_yard": 1, "val_gate": 1}


def test_letters_that_only_look_the_same(folder_tree: Path) -> None:
    draw_image(folder_tree / f"images/val/{unicodedata.normalize('NFC', 'café')}.png", 5)
    draw_mask(folder_tree / f"masks/val/{unicodedata.normalize('NFD', 'café')}.png", 1)
    with raises(DatasetError, "1 mask", "masks/val", "NFC", "NFD", r"'caf\xe9.png'"):
        read(folder_tree)


def test_a_mask_of_another_suffix_is_missed(folder_tree: Path) -> None:
    (folder_tree / "masks/val/gate.png").rename(folder_tree / "masks/val/gate.PNG")
    with raises(DatasetError, "1 image", folder_tree / "images/val", folder_tree / "masks/val", "gate.png"):
        read(folder_tree)


def test_names_are_shown_so_that_they_cannot_disturb_a_terminal(folder_tree: Path) -> None:
    draw_image(folder_tree / "images/val/red\x1b[31m\n.png", 5)
    with raises(DatasetError, "1 name", folder_tree / "images/val", r"'red\x1b[31m\n.png'"):
        read(folder_tree)


class TestLinks:
    """Links to folders are followed, each folder once."""

    def test_a_sequence_may_lie_elsewhere(self, folder_tree: Path, tmp_path: Path) -> None:
        (folder_tree / "images/train/drive_1").rename(tmp_path / "disk_2")
        (folder_tree / "images/train/drive_1").symlink_to(tmp_path / "disk_2")
        assert read(folder_tree).samples[0].id == "train_drive_1_0001"

    def test_up_the_tree(self, folder_tree: Path) -> None:
        for target in ("..", ".", "../..", "/"):
            link = folder_tree / "images/train/loop"
            link.symlink_to(target)
            with raises(DatasetError, "1 folder", link):
                read(folder_tree)
            link.unlink()

    def test_two_that_lead_to_each_other(self, folder_tree: Path) -> None:
        (folder_tree / "images/val/other").symlink_to("../train")
        (folder_tree / "images/train/other").symlink_to("../val")
        with raises(DatasetError, "1 folder", folder_tree / "images/train/other"):
            read(folder_tree)

    def test_a_few_that_make_millions(self, folder_tree: Path) -> None:
        folder = folder_tree / "images/train/deep"
        for level in range(24):
            (folder / str(level)).mkdir(parents=True)
        for level in range(23):
            for name in "ab":
                (folder / str(level) / name).symlink_to(f"../{level + 1}")
        with raises(DatasetError, "2 folder", folder / "0/a", folder / "0/b", folder / "1"):
            read(folder_tree)

    def test_to_nowhere(self, folder_tree: Path) -> None:
        (folder_tree / "images/val/gate.png").unlink()
        (folder_tree / "images/val/gate.png").symlink_to("lost.png")
        with raises(DatasetError, "1 entries", folder_tree / "images/val", "gate.png"):
            read(folder_tree)

    def test_a_split_that_is_a_link_to_itself(self, folder_tree: Path) -> None:
        (folder_tree / "images/test").symlink_to("test")
        with raises(DatasetError, "dataset.source") as caught:
            read(folder_tree)
        assert str(caught.value).count(str(folder_tree / "images/test")) == 2  # it is wanted, and it is in the way
