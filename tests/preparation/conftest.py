from pathlib import Path

import pytest

from tests.preparation.pictures import draw_image, draw_mask


@pytest.fixture
def camvid_tree(tmp_path: Path) -> Path:
    """The SegNet tutorial's layout with two train frames, one val and one test frame."""
    root = tmp_path / "camvid"
    frames = {"train": ["0001TP_006690", "0016E5_00001"], "val": ["0016E5_07959"], "test": ["Seq05VD_f00000"]}
    for seed, (split, stem) in enumerate((split, stem) for split, stems in frames.items() for stem in stems):
        draw_image(root / split / f"{stem}.png", seed)
        draw_mask(root / f"{split}annot" / f"{stem}.png", 0, 3, 11)
    return root


@pytest.fixture
def cityscapes_tree(tmp_path: Path) -> Path:
    """One train and one val frame, with the files that lie beside the masks of Cityscapes."""
    root = tmp_path / "cityscapes"
    for seed, (split, city) in enumerate([("train", "aachen"), ("val", "munster")]):
        stem = f"{city}_000003_000019"
        draw_image(root / "leftImg8bit" / split / city / f"{stem}_leftImg8bit.png", seed)
        fine = root / "gtFine" / split / city
        draw_mask(fine / f"{stem}_gtFine_labelIds.png", 7, 26, 0)
        draw_mask(fine / f"{stem}_gtFine_instanceIds.png", 7)
        (fine / f"{stem}_gtFine_polygons.json").write_text("{}")
    return root


@pytest.fixture
def folder_tree(tmp_path: Path) -> Path:
    """A dataset of one's own: a drive and a still image for train, one image for val."""
    root = tmp_path / "own"
    names = ["train/drive_1/0001.jpg", "train/yard.webp", "val/gate.png"]
    for seed, name in enumerate(names):
        draw_image(root / "images" / name, seed)
        draw_mask((root / "masks" / name).with_suffix(".png"), 1, 2, 9)
    (root / "classes.yaml").write_text(
        "classes:\n"
        "  - {name: ground, color: [128, 64, 128], ids: [1]}\n"
        "  - {name: rest, color: [0, 0, 142], ids: [2, 3]}\n"
        "void: [9]\n"
    )
    return root
