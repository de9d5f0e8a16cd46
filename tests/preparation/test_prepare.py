import pkgutil
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydantic import ValidationError

from pipeline.data.classes import IGNORE_INDEX, ClassTable, LabelClass
from pipeline.data.files import sha256
from pipeline.data.samples import read_samples
from pipeline.errors import DatasetError
from pipeline.params.dataset import DatasetParams, SplitParams
from pipeline.preparation import ADAPTERS
from pipeline.preparation.adapter import RawDataset
from pipeline.preparation.camvid import CAMVID_CLASSES, CamVid
from pipeline.preparation.prepare import prepare_dataset
from tests.preparation.pictures import draw_image
from tests.raising import raises

TWO_CLASSES = ClassTable("two", (LabelClass("a", (1, 1, 1), (4, 7)), LabelClass("b", (2, 2, 2), (0,))), (9, 255))


FEW_STREETS = {"height": 64, "width": 96, "train_sequences": 2, "val_sequences": 1, "test_sequences": 1,
               "unlabelled_sequences": 1, "frames_per_sequence": 2, "broken_items": False}  # fmt: skip


def dataset(adapter: str, source: Path, split: SplitParams | None = None) -> DatasetParams:
    """A dataset with the defaults of its adapter; streets are few and small."""
    options = FEW_STREETS if adapter == "streets" else {}
    return DatasetParams(adapter=adapter, source=str(source), split=split or SplitParams(), options=options)


def prepare(adapter: str, source: Path, out: Path) -> None:
    prepare_dataset(dataset(adapter, source), out.parent / "scratch", out)


def test_writes_the_list_and_the_class_table(folder_tree: Path, tmp_path: Path) -> None:
    out = tmp_path / "prepared"
    prepare("folder", folder_tree, out)
    samples = read_samples(out / "samples.csv")
    assert [s.id for s in samples] == ["train_drive_1_0001", "train_yard", "val_gate"]
    assert samples[0].image == folder_tree / "images/train/drive_1/0001.jpg"
    assert samples[0].mask == folder_tree / "masks/train/drive_1/0001.png"  # where it lies, as it is
    assert ClassTable.load(out / "classes.json").names == ["ground", "rest"]
    assert sorted(p.name for p in out.iterdir()) == ["classes.json", "samples.csv", "source.txt"]


def test_the_list_changes_with_the_bytes_of_every_file(folder_tree: Path, tmp_path: Path) -> None:
    out = tmp_path / "prepared"
    prepare("folder", folder_tree, out)
    samples = read_samples(out / "samples.csv")
    for sample in samples:
        assert sample.mask is not None
        assert (sample.image_sha256, sample.mask_sha256) == (sha256(sample.image), sha256(sample.mask))
    draw_image(samples[2].image, 77)
    prepare("folder", folder_tree, out)
    changed = [a.id for a, b in zip(samples, read_samples(out / "samples.csv"), strict=True) if a != b]
    assert changed == ["val_gate"]


def test_every_layout_goes_through(camvid_tree: Path, cityscapes_tree: Path, tmp_path: Path) -> None:
    for adapter, source, count in (("camvid", camvid_tree, 4), ("cityscapes", cityscapes_tree, 2)):
        prepare(adapter, source, tmp_path / adapter / "prepared")
        assert len(read_samples(tmp_path / adapter / "prepared/samples.csv")) == count


def test_an_unlabelled_image_has_no_mask(folder_tree: Path, tmp_path: Path) -> None:
    draw_image(folder_tree / "images/unlabelled/a.png", 7)
    (folder_tree / "images/unlabelled/broken.png").write_bytes(b"no picture")
    prepare("folder", folder_tree, tmp_path / "prepared")
    samples = read_samples(tmp_path / "prepared/samples.csv", "unlabelled")
    assert [(s.id, s.mask, s.mask_sha256) for s in samples] == [
        ("unlabelled_a", None, ""),
        ("unlabelled_broken", None, ""),  # for curation to reject
    ]


def test_streets_are_drawn_below_the_prepared_folder(tmp_path: Path) -> None:
    out = tmp_path / "prepared"
    prepare("streets", tmp_path, out)
    samples = read_samples(out / "samples.csv")
    counts = [sum(s.split == split for s in samples) for split in ("train", "val", "test", "unlabelled")]
    assert counts == [4, 2, 2, 2]
    assert all(out / "raw" in s.image.parents and (s.mask is None or out / "raw" in s.mask.parents) for s in samples)


def test_reports_what_it_did(camvid_tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepare("camvid", camvid_tree, tmp_path / "prepared")
    (line,) = capsys.readouterr().out.splitlines()
    assert all(count in line for count in ("4 samples", "11 classes", "train 2", "val 1", "test 1"))


@given(raw=arrays(np.uint8, st.tuples(st.integers(1, 6), st.integers(1, 6))))
def test_train_ids_by_definition(raw: np.ndarray) -> None:
    expected = {4: 0, 7: 0, 0: 1}
    by_definition = [[expected.get(int(raw_id), IGNORE_INDEX) for raw_id in row] for row in raw]
    assert TWO_CLASSES.to_train_ids(raw).tolist() == by_definition
    assert np.flatnonzero(TWO_CLASSES.known_raw_ids()).tolist() == [0, 4, 7, 9, 255]


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n"])
def test_what_a_file_holds_is_for_curation_to_judge(camvid_tree: Path, tmp_path: Path, content: bytes) -> None:
    (camvid_tree / "val/0016E5_07959.png").write_bytes(content)
    (camvid_tree / "valannot/0016E5_07959.png").write_bytes(content)
    prepare("camvid", camvid_tree, tmp_path / "prepared")
    [sample] = read_samples(tmp_path / "prepared/samples.csv", "val")
    assert sample.image_sha256 == sample.mask_sha256 == sha256(sample.image)


def test_a_failed_run_leaves_no_list_of_an_earlier_one(camvid_tree: Path, tmp_path: Path) -> None:
    out = tmp_path / "prepared"
    prepare("camvid", camvid_tree, out)
    shutil.rmtree(camvid_tree / "test")
    with pytest.raises(DatasetError):
        prepare("camvid", camvid_tree, out)
    assert not any(out.iterdir())


def test_what_an_earlier_run_drew_is_gone(camvid_tree: Path, tmp_path: Path) -> None:
    out = tmp_path / "prepared"
    prepare("streets", tmp_path, out)
    assert (out / "raw").is_dir()
    prepare("camvid", camvid_tree, out)
    assert sorted(p.name for p in out.iterdir()) == ["classes.json", "samples.csv", "source.txt"]


def test_writes_the_same_bytes_again(camvid_tree: Path, tmp_path: Path) -> None:
    written = []
    for _ in range(2):
        prepare("camvid", camvid_tree, tmp_path / "prepared")
        files = sorted(p for p in (tmp_path / "prepared").rglob("*") if p.is_file())
        written.append([(p.name, p.read_bytes()) for p in files])
    assert written[0] == written[1]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"split": "val"}, ("0 samples", "val")),
        ({"split": "trian"}, ("0 samples", "trian")),
        ({}, ("1 id", "twice_used")),
    ],
)
def test_an_adapter_that_breaks_its_contract(
    camvid_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, str], named: tuple[str, ...]
) -> None:
    samples = CamVid.read(dataset("camvid", camvid_tree), tmp_path).samples
    broken = [sample._replace(**({"id": "twice_used"} | change)) for sample in samples]
    monkeypatch.setattr(CamVid, "read", lambda _, drawn: RawDataset(CAMVID_CLASSES, broken))
    with raises(DatasetError, camvid_tree, *named):
        prepare("camvid", camvid_tree, tmp_path / "prepared")


def test_any_dataset_can_be_divided_anew_by_whole_sequences(tmp_path: Path) -> None:
    out = tmp_path / "prepared"
    split = SplitParams(by="sequences", val_share=0.25, test_share=0.25)
    prepare_dataset(dataset("streets", tmp_path, split), tmp_path / "scratch", out)
    samples = read_samples(out / "samples.csv")
    assert len({(s.sequence, s.split) for s in samples}) == len({s.sequence for s in samples}) == 5
    assert Counter(s.split for s in samples) == {"train": 4, "val": 2, "test": 2, "unlabelled": 2}


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_every_adapter_suits_everybody_without_options(adapter: str) -> None:
    params = DatasetParams(adapter=adapter, source="somewhere")
    assert isinstance(params.options, pkgutil.resolve_name(ADAPTERS[adapter]).Params)


def test_unknown_options_name_the_nearest(tmp_path: Path) -> None:
    with raises(ValidationError, "options.hieght", "unknown_key", "'height'"):
        DatasetParams(adapter="streets", source=".", options={"hieght": 64})
    with raises(ValidationError, "options.height", "unknown_key"):
        DatasetParams(adapter="camvid", source=".", options={"height": 64})
    with raises(ValidationError, "'street'", "'streets'"):
        DatasetParams(adapter="street", source=".")


def test_reading_parameters_loads_nothing_heavy() -> None:
    code = (
        "import sys; from pipeline.params.dataset import DatasetParams; from pipeline.preparation import ADAPTERS\n"
        "for adapter in ADAPTERS: DatasetParams(adapter=adapter, source='.')\n"
        "sys.exit(' '.join({'cv2', 'torch', 'PIL'} & set(sys.modules)) or 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
