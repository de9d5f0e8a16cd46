import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from PIL import Image

from pipeline.curation.curate import CurationError, curate_dataset
from pipeline.data.classes import ClassTable, LabelClass
from pipeline.data.samples import Sample, read_samples, write_samples
from pipeline.params import CurationParams, DatasetParams, StreetsParams
from pipeline.preparation.prepare import prepare_dataset
from tests.preparation.pictures import HEIGHT, WIDTH, draw_image, draw_mask

CLASSES = ClassTable("toy", (LabelClass("ground", (1, 1, 1), (0,)), LabelClass("rest", (2, 2, 2), (1,))), (255,))
PIXELS = HEIGHT * WIDTH


class Prepared:
    """A prepared dataset that a test puts together sample by sample, and what curation makes of it."""

    def __init__(self, root: Path):
        self.root = root
        self.samples: list[Sample] = []
        CLASSES.save(root / "prepared/classes.json")

    def add(self, name: str, split: str, seed: int, ids: tuple[int, ...] = (0, 1), sequence: str = "") -> Sample:
        image = draw_image(self.root / f"images/{name}.png", seed)
        mask = draw_mask(self.root / f"prepared/masks/{name}.png", *ids)
        self.samples.append(Sample(name, split, sequence or name, image, mask))
        return self.samples[-1]

    def curate(self, leakage: Literal["block", "drop", "warn"], distance: float = 0.02) -> None:
        write_samples(self.root / "prepared/samples.csv", self.samples)
        curation = CurationParams(near_duplicate_distance=distance, leakage=leakage)
        curate_dataset(curation, self.root / "prepared", self.root / "curated", self.root / "reports/curation.md")

    def kept(self) -> list[str]:
        return [s.id for s in read_samples(self.root / "curated/samples.csv")]

    def rejected(self) -> dict[str, tuple[str, str]]:
        with (self.root / "curated/rejected.csv").open(newline="") as file:
            return {row["id"]: (row["rule"], row["reason"]) for row in csv.DictReader(file)}

    def statistics(self) -> dict[str, object]:
        return json.loads((self.root / "curated/statistics.json").read_text())

    def report(self) -> str:
        return (self.root / "reports/curation.md").read_text()


@pytest.fixture
def prepared(tmp_path: Path) -> Prepared:
    """Two train samples, one for val, one for test; nothing is wrong with them."""
    dataset = Prepared(tmp_path)
    dataset.add("t0", "train", 0, sequence="x")
    dataset.add("t1", "train", 1, sequence="x")
    dataset.add("v0", "val", 2)
    dataset.add("e0", "test", 3, ids=(0, 255), sequence="x")
    return dataset


def brightened_copy(dataset: Prepared, original: str, name: str, split: str) -> None:
    pixels = np.asarray(Image.open(dataset.root / f"images/{original}.png"), dtype=float)
    sample = dataset.add(name, split, 0)
    Image.fromarray((20 + 0.8 * pixels).astype(np.uint8)).save(sample.image)


def test_a_clean_dataset_is_kept(prepared: Prepared) -> None:
    prepared.curate("block")
    assert prepared.kept() == ["t0", "t1", "v0", "e0"]
    assert prepared.rejected() == {}
    assert read_samples(prepared.root / "curated/samples.csv") == prepared.samples


def test_unlabelled_images_are_kept_and_judge_nothing(prepared: Prepared) -> None:
    prepared.add("u0", "unlabelled", 8, ids=(255,))
    brightened_copy(prepared, "t0", "u_of_train", "unlabelled")
    brightened_copy(prepared, "e0", "u_of_test", "unlabelled")
    for name in ("u_of_train", "u_of_test"):
        draw_mask(prepared.root / f"prepared/masks/{name}.png", 255)
    prepared.curate("drop")
    assert prepared.kept() == ["t0", "t1", "v0", "e0", "u0", "u_of_train"]
    assert prepared.rejected()["u_of_test"][0] == "leakage"
    assert "Split unlabelled: no pixel" not in prepared.report()
    prepared.samples = [sample for sample in prepared.samples if sample.id != "u_of_test"]
    prepared.curate("block")  # an unlabelled image that is one of train's is no leak


def test_an_unlabelled_image_that_cannot_be_read_is_rejected(prepared: Prepared) -> None:
    prepared.add("good", "unlabelled", 9, ids=(255,))
    prepared.add("broken", "unlabelled", 8, ids=(255,)).image.write_bytes(b"no picture")
    prepared.curate("block")
    assert prepared.rejected()["broken"][0] == "unreadable_image"


def test_statistics(prepared: Prepared) -> None:
    prepared.curate("block")
    statistics = prepared.statistics()
    nearest = statistics["leakage"].pop("nearest")  # pyright: ignore
    assert statistics == {
        "classes": ["ground", "rest"],
        "splits": {
            "train": {
                "samples": 2,
                "sequences": 1,
                "pixels": [PIXELS, PIXELS],
                "void_pixels": 0,
                "samples_with_class": [2, 2],
            },
            "val": {
                "samples": 1,
                "sequences": 1,
                "pixels": [PIXELS // 2, PIXELS // 2],
                "void_pixels": 0,
                "samples_with_class": [1, 1],
            },
            "test": {
                "samples": 1,
                "sequences": 1,
                "pixels": [PIXELS // 2, 0],
                "void_pixels": PIXELS // 2,
                "samples_with_class": [1, 0],
            },
        },
        "rejected": {
            "unreadable_image": 0,
            "unreadable_mask": 0,
            "size_mismatch": 0,
            "unknown_ids": 0,
            "nothing_labelled": 0,
            "exact_duplicate": 0,
            "leakage": 0,
        },
        "leakage": {
            "policy": "block",
            "distance": 0.02,
            "pairs": {"train/val": 0, "train/test": 0, "val/test": 0},
            "evaluation_samples_affected": {"val": 0, "test": 0},
            "shared_sequences": {"train/val": [], "train/test": ["x"], "val/test": []},
        },
    }
    assert [sorted(pair) for pair in nearest] == [["a", "b", "distance"]] * 3
    assert [pair["distance"] for pair in nearest] == sorted(pair["distance"] for pair in nearest)


def test_every_rule_rejects_with_a_reason(prepared: Prepared) -> None:
    prepared.add("bad_image", "train", 10).image.write_bytes(b"no picture")
    prepared.add("bad_mask", "train", 11).mask.write_bytes(b"no picture")
    Image.new("RGB", (WIDTH, HEIGHT)).save(prepared.add("color_mask", "train", 12).mask)
    Image.new("L", (WIDTH, 5)).save(prepared.add("small_mask", "train", 13).mask)
    prepared.add("foreign", "val", 14, ids=(0, 254, 2, 1))
    prepared.add("void", "test", 15, ids=(255,))
    prepared.add("again", "train", 0)
    prepared.curate("block")
    rejected = prepared.rejected()
    assert prepared.kept() == ["t0", "t1", "v0", "e0"]
    assert {name: rule for name, (rule, _) in rejected.items()} == {
        "bad_image": "unreadable_image",
        "bad_mask": "unreadable_mask",
        "color_mask": "unreadable_mask",
        "small_mask": "size_mismatch",
        "foreign": "unknown_ids",
        "void": "nothing_labelled",
        "again": "exact_duplicate",
    }
    assert "RGB" in rejected["color_mask"][1]
    assert rejected["foreign"][1].startswith(f"{PIXELS // 2} pixels (50 %)")
    assert rejected["again"][1] == "same pixels and same mask as t0"
    assert prepared.statistics()["rejected"]["unreadable_mask"] == 2  # pyright: ignore
    assert all(f"| {name} |" in prepared.report() for name in rejected)


def test_block_names_pairs_and_the_key_and_keeps_the_report(prepared: Prepared) -> None:
    brightened_copy(prepared, "t0", "leak", "test")
    prepared.add("copy", "val", 1)
    with pytest.raises(CurationError) as caught:
        prepared.curate("block")
    message = str(caught.value)
    assert "train/val 1, train/test 1" in message
    assert "1 of val, 1 of test" in message
    assert "t1 = copy (0.0000)" in message
    assert "t0 = leak (" in message
    assert "curation.leakage" in message
    assert not (prepared.root / "curated/samples.csv").exists()
    assert "**Refused.**" in prepared.report()


def test_block_names_three_pairs_at_most(prepared: Prepared) -> None:
    for number in range(5):
        prepared.add(f"copy_{number}", "val", 0, ids=(0, 1) if number % 2 else (1, 0))
    with pytest.raises(CurationError, match=r"train/val 2"):
        prepared.curate("block")
    for number in range(5):
        prepared.add(f"t_{number}", "train", 20 + number)
        prepared.add(f"v_{number}", "val", 20 + number)
    with pytest.raises(CurationError) as caught:
        prepared.curate("block")
    assert "train/val 7" in str(caught.value)
    assert str(caught.value).count(" = ") == 3


def test_drop_rejects_the_sample_of_the_later_split(prepared: Prepared) -> None:
    brightened_copy(prepared, "t0", "leak", "test")
    brightened_copy(prepared, "v0", "leak_of_val", "test")
    prepared.add("copy", "val", 1)
    prepared.curate("drop")
    assert prepared.kept() == ["t0", "t1", "v0", "e0"]
    rejected = prepared.rejected()
    assert {rule for rule, _ in rejected.values()} == {"leakage"}
    assert "as t0 of split train" in rejected["leak"][1]
    assert "as v0 of split val" in rejected["leak_of_val"][1]
    assert "as t1 of split train" in rejected["copy"][1]
    leakage = prepared.statistics()["leakage"]
    assert leakage["pairs"] == {"train/val": 1, "train/test": 1, "val/test": 1}  # pyright: ignore
    assert leakage["evaluation_samples_affected"] == {"val": 1, "test": 2}  # pyright: ignore


def test_warn_only_reports(prepared: Prepared) -> None:
    brightened_copy(prepared, "t0", "leak", "test")
    prepared.curate("warn")
    assert "leak" in prepared.kept()
    assert prepared.statistics()["leakage"]["evaluation_samples_affected"] == {"val": 0, "test": 1}  # pyright: ignore
    assert "1 sample(s) of split test have a near-duplicate" in prepared.report()


def test_an_emptied_split_says_what_became_of_it(prepared: Prepared) -> None:
    prepared.samples[2].image.unlink()
    with pytest.raises(
        CurationError, match=r"no sample of split val is left.*unreadable_image 1\. The first, v0: .*v0\.png"
    ):
        prepared.curate("warn")
    assert "**Refused.**" in prepared.report()


def test_a_refused_dataset_leaves_no_list_of_an_earlier_run(prepared: Prepared) -> None:
    prepared.curate("block")
    prepared.add("copy", "val", 1)
    with pytest.raises(CurationError):
        prepared.curate("block")
    assert not (prepared.root / "curated/samples.csv").exists()


def test_writes_the_same_bytes_again(prepared: Prepared) -> None:
    prepared.add("again", "train", 0)
    written = []
    for _ in range(2):
        prepared.curate("block")
        files = sorted((prepared.root / "curated").iterdir())
        written.append([p.read_bytes() for p in files] + [prepared.report().encode()])
    assert written[0] == written[1]


def test_finds_all_that_is_planted_in_the_streets_and_nothing_else(tmp_path: Path) -> None:
    streets = StreetsParams(
        height=96,
        width=128,
        train_sequences=3,
        val_sequences=1,
        test_sequences=1,
        unlabelled_sequences=0,
        frames_per_sequence=2,
        broken_items=True,
    )
    prepare_dataset(DatasetParams(adapter="streets", source=".", streets=streets), tmp_path / "prepared")
    curation = CurationParams(near_duplicate_distance=0.02, leakage="drop")
    curate_dataset(curation, tmp_path / "prepared", tmp_path / "curated", tmp_path / "curation.md")
    kept = read_samples(tmp_path / "curated/samples.csv")
    assert len(kept) == 10
    assert not [s.id for s in kept if "broken" in s.id]
    rejected = json.loads((tmp_path / "curated/statistics.json").read_text())["rejected"]
    assert list(rejected.values()) == [2, 1, 1, 1, 1, 1, 2]


def test_the_real_camvid_has_no_rejects_and_shares_sequences(camvid: Path, tmp_path: Path) -> None:
    streets = StreetsParams(
        height=64,
        width=64,
        train_sequences=1,
        val_sequences=1,
        test_sequences=1,
        unlabelled_sequences=0,
        frames_per_sequence=1,
        broken_items=False,
    )
    prepare_dataset(DatasetParams(adapter="camvid", source=str(camvid), streets=streets), tmp_path / "prepared")
    curation = CurationParams(near_duplicate_distance=0.02, leakage="block")
    curate_dataset(curation, tmp_path / "prepared", tmp_path / "curated", tmp_path / "curation.md")
    statistics = json.loads((tmp_path / "curated/statistics.json").read_text())
    assert {split: s["samples"] for split, s in statistics["splits"].items()} == {"train": 367, "val": 101, "test": 233}
    assert statistics["leakage"]["shared_sequences"] == {
        "train/val": ["0016E5"],
        "train/test": ["0001TP"],
        "val/test": [],
    }


@pytest.mark.parametrize("stage", ["prepare", "curate"])
def test_a_stage_ends_with_one_message(stage: str, tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    result = subprocess.run(
        [sys.executable, "-m", f"stages.{stage}"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert result.stderr.strip().startswith("ParamsError: cannot read ")
    assert "Traceback" not in result.stderr
