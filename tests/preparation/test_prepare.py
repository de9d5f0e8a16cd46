import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from pipeline.data.classes import IGNORE_INDEX, OUTSIDE_TABLE, ClassTable, LabelClass
from pipeline.data.images import read_mask
from pipeline.data.samples import read_samples
from pipeline.params import DatasetParams, StreetsParams
from pipeline.preparation import ADAPTERS
from pipeline.preparation.adapter import PrepareError, RawDataset
from pipeline.preparation.camvid import CAMVID_CLASSES
from pipeline.preparation.prepare import prepare_dataset
from tests.preparation.pictures import draw_image, draw_mask

TWO_CLASSES = ClassTable("two", (LabelClass("a", (1, 1, 1), (4, 7)), LabelClass("b", (2, 2, 2), (0,))), (9, 255))


def dataset(adapter: str, source: Path) -> DatasetParams:
    streets = StreetsParams(
        height=64,
        width=96,
        train_sequences=2,
        val_sequences=1,
        test_sequences=1,
        unlabelled_sequences=0,
        frames_per_sequence=2,
        broken_items=False,
    )
    return DatasetParams(adapter=adapter, source=str(source), streets=streets)  # pyright: ignore[reportArgumentType]


def test_writes_list_class_table_and_train_ids(folder_tree: Path, tmp_path: Path) -> None:
    out = tmp_path / "prepared"
    prepare_dataset(dataset("folder", folder_tree), out)
    samples = read_samples(out / "samples.csv")
    assert [s.id for s in samples] == ["train_drive_1_0001", "train_yard", "val_gate"]
    assert samples[0].image == folder_tree / "images/train/drive_1/0001.jpg"
    assert samples[0].mask == out / "masks/train_drive_1_0001.png"
    assert np.unique(read_mask(samples[0].mask)).tolist() == [0, 1, IGNORE_INDEX]
    assert ClassTable.load(out / "classes.json").names == ["ground", "rest"]
    assert sorted(p.name for p in out.iterdir()) == ["classes.json", "masks", "samples.csv"]


def test_every_layout_goes_through(camvid_tree: Path, cityscapes_tree: Path, tmp_path: Path) -> None:
    for adapter, source, count in (("camvid", camvid_tree, 4), ("cityscapes", cityscapes_tree, 2)):
        prepare_dataset(dataset(adapter, source), tmp_path / adapter / "prepared")
        assert len(read_samples(tmp_path / adapter / "prepared/samples.csv")) == count


def test_an_unlabelled_image_gets_a_void_mask_of_its_size(folder_tree: Path, tmp_path: Path) -> None:
    image = folder_tree / "images/unlabelled/a.png"
    draw_image(image, 7)
    (folder_tree / "images/unlabelled/broken.png").write_bytes(b"no picture")
    prepare_dataset(dataset("folder", folder_tree), tmp_path / "prepared")
    masks = {s.id: read_mask(s.mask) for s in read_samples(tmp_path / "prepared/samples.csv", "unlabelled")}
    assert masks["unlabelled_a"].shape == Image.open(image).size[::-1]
    assert np.unique(masks["unlabelled_a"]).tolist() == [IGNORE_INDEX]
    assert "unlabelled_broken" in masks  # for curation to reject


def test_streets_are_drawn_below_the_prepared_folder(tmp_path: Path) -> None:
    out = tmp_path / "prepared"
    prepare_dataset(dataset("streets", tmp_path), out)
    samples = read_samples(out / "samples.csv")
    assert [sum(s.split == split for s in samples) for split in ("train", "val", "test")] == [4, 2, 2]
    assert all(out / "raw" in s.image.parents and s.mask.parent == out / "masks" for s in samples)


def test_reports_what_it_did(camvid_tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepare_dataset(dataset("camvid", camvid_tree), tmp_path / "prepared")
    assert capsys.readouterr().out == ("prepared 4 samples, 11 classes: train 2, val 1, test 1; unusable masks: 0\n")


@given(raw=arrays(np.uint8, st.tuples(st.integers(1, 6), st.integers(1, 6))))
def test_train_ids_by_definition(raw: np.ndarray) -> None:
    expected = {4: 0, 7: 0, 0: 1, 9: IGNORE_INDEX, 255: IGNORE_INDEX}
    by_definition = [[expected.get(int(raw_id), OUTSIDE_TABLE) for raw_id in row] for row in raw]
    assert TWO_CLASSES.to_train_ids(raw).tolist() == by_definition


def test_palette_masks_give_their_indices(camvid_tree: Path, tmp_path: Path) -> None:
    path = camvid_tree / "valannot/0016E5_07959.png"
    image = Image.open(path)
    image.putpalette([200, 10, 10] * 256)
    assert image.mode == "P"
    image.save(path)
    prepare_dataset(dataset("camvid", camvid_tree), tmp_path / "prepared")
    mask = read_mask(tmp_path / "prepared/masks/0016E5_07959.png")
    assert np.unique(mask).tolist() == [0, 3, IGNORE_INDEX]


@pytest.mark.parametrize("mode", ["RGB", "I;16", "1", "damaged", "empty"])
def test_an_unusable_mask_stays_for_curation(camvid_tree: Path, tmp_path: Path, mode: str) -> None:
    path = camvid_tree / "valannot/0016E5_07959.png"
    if mode == "damaged":
        path.write_bytes(path.read_bytes()[:40])
    elif mode == "empty":
        path.write_bytes(b"")
    else:
        values = np.asarray(Image.open(path))
        Image.fromarray(values.astype(np.uint16) if mode == "I;16" else values).convert(mode).save(path)
    prepare_dataset(dataset("camvid", camvid_tree), tmp_path / "prepared")
    masks = {s.id: s.mask for s in read_samples(tmp_path / "prepared/samples.csv")}
    assert masks["0016E5_07959"] == path
    assert masks["0001TP_006690"].parent == tmp_path / "prepared/masks"


def test_no_mask_is_usable(camvid_tree: Path, tmp_path: Path) -> None:
    for path in camvid_tree.glob("*annot/*.png"):
        Image.open(path).convert("RGB").save(path)
    with pytest.raises(PrepareError, match=r"none of the 4 masks can be used; the first: .*RGB"):
        prepare_dataset(dataset("camvid", camvid_tree), tmp_path / "prepared")


def test_no_pixel_belongs_to_a_class(camvid_tree: Path, tmp_path: Path) -> None:
    for path in camvid_tree.glob("*annot/*.png"):
        draw_mask(path, 11, 200)
    with pytest.raises(
        PrepareError, match=r"no pixel of 4 masks.*hold ids 11, 200; .*'camvid' knows ids 0, 1, .*, 10 as"
    ):
        prepare_dataset(dataset("camvid", camvid_tree), tmp_path / "prepared")


def test_a_few_foreign_ids_are_for_curation_many_are_an_error(camvid_tree: Path, tmp_path: Path) -> None:
    masks = sorted(camvid_tree.glob("*annot/*.png"))
    for path in masks[:2]:
        draw_mask(path, 3, 26)
    prepare_dataset(dataset("camvid", camvid_tree), tmp_path / "prepared")
    assert OUTSIDE_TABLE in read_mask(tmp_path / f"prepared/masks/{masks[0].name}")
    draw_mask(masks[2], 3, 26)
    with pytest.raises(PrepareError, match=r"3 of 4 masks hold ids outside the class table: .*ids 0, 3, 11, 26; "):
        prepare_dataset(dataset("camvid", camvid_tree), tmp_path / "prepared")


def test_a_failed_run_leaves_no_list_of_an_earlier_one(camvid_tree: Path, tmp_path: Path) -> None:
    out = tmp_path / "prepared"
    prepare_dataset(dataset("camvid", camvid_tree), out)
    shutil.rmtree(camvid_tree / "test")
    with pytest.raises(PrepareError):
        prepare_dataset(dataset("camvid", camvid_tree), out)
    assert not any(out.iterdir())


def test_what_an_earlier_run_wrote_is_gone(camvid_tree: Path, folder_tree: Path, tmp_path: Path) -> None:
    out = tmp_path / "prepared"
    prepare_dataset(dataset("camvid", camvid_tree), out)
    prepare_dataset(dataset("folder", folder_tree), out)
    assert len(list((out / "masks").iterdir())) == 3


def test_writes_the_same_bytes_again(camvid_tree: Path, tmp_path: Path) -> None:
    written = []
    for _ in range(2):
        prepare_dataset(dataset("camvid", camvid_tree), tmp_path / "prepared")
        files = sorted(p for p in (tmp_path / "prepared").rglob("*") if p.is_file())
        written.append([(p.name, p.read_bytes()) for p in files])
    assert written[0] == written[1]


@pytest.mark.parametrize(
    ("change", "message"),
    [({"split": "val"}, "no training sample"), ({"split": "trai"}, "no training sample"), ({}, "more than once: x")],
)
def test_an_adapter_that_breaks_its_contract(
    camvid_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, str], message: str
) -> None:
    samples = ADAPTERS["camvid"](dataset("camvid", camvid_tree), tmp_path).samples
    broken = [sample._replace(**({"id": "x"} | change)) for sample in samples]
    monkeypatch.setitem(ADAPTERS, "camvid", lambda _, out: RawDataset(CAMVID_CLASSES, broken))
    with pytest.raises(PrepareError, match=message):
        prepare_dataset(dataset("camvid", camvid_tree), tmp_path / "prepared")
