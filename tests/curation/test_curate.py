import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.code_digest import ROOT
from pipeline.curation.curate import curate_dataset
from pipeline.curation.review import Remark, write_review
from pipeline.curation.rule import Policy, all_rules
from pipeline.data.classes import ClassTable, LabelClass
from pipeline.data.files import sha256
from pipeline.data.samples import Sample, read_decisions, read_samples, write_samples
from pipeline.errors import DatasetError
from pipeline.params.dataset import CurationParams, DatasetParams
from pipeline.params.tree import load_params
from pipeline.preparation.prepare import prepare_dataset
from pipeline.preparation.streets.adapter import Streets
from tests.curation.measured import CURATION
from tests.preparation.pictures import HEIGHT, WIDTH, draw_image, draw_mask
from tests.raising import raises

CLASSES = ClassTable("toy", (LabelClass("ground", (1, 1, 1), (0,)), LabelClass("rest", (2, 2, 2), (1,))), (255,))
PIXELS = HEIGHT * WIDTH
EMBEDDED = load_params(ROOT / "params.yaml")


class Prepared:
    """A prepared dataset that a test puts together sample by sample, and what curation makes of it."""

    def __init__(self, root: Path):
        self.root = root
        self.samples: list[Sample] = []
        CLASSES.save(root / "prepared/classes.json")

    def add(self, name: str, split: str, seed: int, ids: tuple[int, ...] = (0, 1), sequence: str = "") -> Path:
        """Add a sample; with no ids it has no mask. Returns the file of its image; that of its mask is mask_of()."""
        image = draw_image(self.root / f"images/{name}.png", seed)
        mask = draw_mask(self.mask_of(name), *ids) if ids else None
        self.samples.append(Sample(name, split, sequence or name, image, mask, "", ""))
        return image

    def mask_of(self, name: str) -> Path:
        return self.root / f"masks/{name}.png"

    def curate(
        self, leakage: Policy, remarks: tuple[Remark, ...] = (), train_on: Sequence[str] = ("train",),
        **rules: dict[str, object],
    ) -> None:  # fmt: skip
        """With CamVid's rules, but for leakage and those given."""
        self.samples = [
            s._replace(image_sha256=_digest(s.image), mask_sha256=_digest(s.mask) if s.mask else "")
            for s in self.samples
        ]
        write_samples(self.root / "prepared/samples.csv", self.samples)
        write_review(self.root / "review.csv", remarks)
        rules = {"leakage": {"policy": leakage, "below": 0.02}, **rules}
        changed = {name: replace(getattr(CURATION.rules, name), **changes) for name, changes in rules.items()}
        curate_dataset(
            replace(CURATION, rules=replace(CURATION.rules, **changed)),
            train_on,
            source=self.root,
            prepared=self.root / "prepared",
            review=self.root / "review.csv",
            scratch=self.root / "scratch",
            out=self.root / "curated",
            report=self.root / "reports/curation.md",
            pictures=self.root / "reports/curation",
        )

    def kept(self) -> list[str]:
        return [s.id for s in read_samples(self.root / "curated/samples.csv")]

    def rejected(self) -> dict[str, tuple[str, str]]:
        """The first rule that said so and its reason, by sample id."""
        decisions = read_decisions(self.root / "curated/decisions.csv")
        return {d.sample.id: (d.rules[0], d.reasons[0]) for d in decisions if d.decision == "drop"}

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
    Image.fromarray((20 + 0.8 * pixels).astype(np.uint8)).save(dataset.add(name, split, 0))


def test_a_clean_dataset_is_kept(prepared: Prepared) -> None:
    prepared.curate("block")
    assert prepared.kept() == ["t0", "t1", "v0", "e0"]
    assert prepared.rejected() == {}
    assert read_samples(prepared.root / "curated/samples.csv") == prepared.samples


def test_unlabelled_images_are_kept_and_judge_nothing(prepared: Prepared) -> None:
    prepared.add("u0", "unlabelled", 8, ids=())
    brightened_copy(prepared, "t0", "u_of_train", "unlabelled")
    brightened_copy(prepared, "e0", "u_of_test", "unlabelled")
    prepared.samples[-2:] = [sample._replace(mask=None) for sample in prepared.samples[-2:]]
    prepared.curate("drop")
    assert prepared.kept() == ["t0", "t1", "v0", "e0", "u0", "u_of_train"]
    assert prepared.rejected()["u_of_test"][0] == "leakage"
    assert prepared.statistics()["found"]["missing_class"] == 1  # pyright: ignore  # that of the test split
    prepared.samples = [sample for sample in prepared.samples if sample.id != "u_of_test"]
    prepared.curate("block")  # an unlabelled image that is one of train's is no leak


def test_an_unlabelled_image_that_cannot_be_read_is_rejected(prepared: Prepared) -> None:
    prepared.add("good", "unlabelled", 9, ids=())
    prepared.add("broken", "unlabelled", 8, ids=()).write_bytes(b"no picture")
    prepared.curate("block")
    assert prepared.rejected()["broken"][0] == "unreadable_image"


def test_statistics(prepared: Prepared) -> None:
    prepared.curate("block")
    statistics = prepared.statistics()
    nearest = statistics["leakage"].pop("nearest")  # pyright: ignore
    assert statistics.pop("policies") == {name: getattr(CURATION.rules, name).policy for name in all_rules()} | {
        "leakage": "block"
    }
    found = {"single_class": 1, "shifted_mask": 1, "shared_sequence": 1, "missing_class": 1}  # masks are stripes
    assert statistics.pop("found") == dict.fromkeys(all_rules(), 0) | found
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
        "rejected": dict.fromkeys(all_rules(), 0),
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
    prepared.add("bad_image", "train", 10).write_bytes(b"no picture")
    for name, seed in (("bad_mask", 11), ("color_mask", 12), ("small_mask", 13)):
        prepared.add(name, "train", seed)
    prepared.mask_of("bad_mask").write_bytes(b"no picture")
    Image.new("RGB", (WIDTH, HEIGHT)).save(prepared.mask_of("color_mask"))
    Image.new("L", (WIDTH, 5)).save(prepared.mask_of("small_mask"))
    prepared.add("foreign", "val", 14, ids=(0, 254, 2, 1))
    prepared.add("void", "test", 15, ids=(255,))
    prepared.add("again", "train", 0)
    prepared.curate("block")
    rejected = prepared.rejected()
    assert prepared.kept() == ["t0", "t1", "v0", "e0"]
    assert {name: rule for name, (rule, _) in rejected.items()} == {
        "bad_image": "unreadable_image",
        "bad_mask": "unreadable_mask",
        "color_mask": "unknown_colors",
        "small_mask": "size_mismatch",
        "foreign": "unknown_ids",
        "void": "nothing_labelled",
        "again": "exact_duplicate",
    }
    assert all(value in rejected["color_mask"][1] for value in ("[0, 0, 0]", f"{PIXELS} pixels"))
    assert all(value in rejected["foreign"][1] for value in (f"{PIXELS // 2} pixels", "50 %"))
    assert "t0" in rejected["again"][1]
    assert prepared.statistics()["rejected"]["unreadable_mask"] == 1  # pyright: ignore
    assert all(f"| {name} |" in prepared.report() for name in rejected)


def test_block_names_pairs_and_the_key_and_keeps_the_report(prepared: Prepared) -> None:
    brightened_copy(prepared, "t0", "leak", "test")
    prepared.add("copy", "val", 1)
    with raises(DatasetError, "train/val 1", "train/test 1", "curation.rules.leakage.policy") as caught:
        prepared.curate("block")
    message = str(caught.value)
    assert re.search(r"\bcopy\b.*\bt1\b.*\btrain\b.*\b0\.0000\b.*\bleak\b.*\bt0\b.*\btrain\b", message)
    assert re.search(r"\b1 \w+ val\b.*\b1 \w+ test\b", message)
    assert not (prepared.root / "curated/samples.csv").exists()
    assert "**Refused.**" in prepared.report()
    assert "![train t0 \\| test leak" in prepared.report()
    assert (prepared.root / "reports/curation/leakage_2.jpg").is_file()


def test_block_names_three_pairs_at_most(prepared: Prepared) -> None:
    for number in range(5):
        prepared.add(f"copy_{number}", "val", 0, ids=(0, 1) if number % 2 else (1, 0))
    with raises(DatasetError, "train/val 2"):
        prepared.curate("block")
    for number in range(5):
        prepared.add(f"t_{number}", "train", 20 + number)
        prepared.add(f"v_{number}", "val", 20 + number)
    with raises(DatasetError, "train/val 7") as caught:
        prepared.curate("block")
    assert str(caught.value).count("0.0000") == 3


def test_drop_rejects_the_sample_of_the_later_split(prepared: Prepared) -> None:
    brightened_copy(prepared, "t0", "leak", "test")
    brightened_copy(prepared, "v0", "leak_of_val", "test")
    prepared.add("copy", "val", 1)
    prepared.curate("drop")
    assert prepared.kept() == ["t0", "t1", "v0", "e0"]
    rejected = prepared.rejected()
    assert {rule for rule, _ in rejected.values()} == {"leakage"}
    assert [d.decision for d in read_decisions(prepared.root / "curated/decisions.csv")] == ["keep"] * 4 + ["drop"] * 3
    originals = {"leak": ("t0", "train"), "leak_of_val": ("v0", "val"), "copy": ("t1", "train")}
    assert all(value in rejected[name][1] for name, values in originals.items() for value in values)
    leakage = prepared.statistics()["leakage"]
    assert leakage["pairs"] == {"train/val": 1, "train/test": 1, "val/test": 1}  # pyright: ignore
    assert leakage["evaluation_samples_affected"] == {"val": 1, "test": 2}  # pyright: ignore


def test_warn_only_reports(prepared: Prepared) -> None:
    brightened_copy(prepared, "t0", "leak", "test")
    prepared.curate("warn")
    assert "leak" in prepared.kept()
    assert prepared.statistics()["leakage"]["evaluation_samples_affected"] == {"val": 0, "test": 1}  # pyright: ignore
    assert "| leakage | warn | 1 | 0 |" in prepared.report()


def test_an_emptied_split_says_what_became_of_it(prepared: Prepared) -> None:
    prepared.samples[2].image.unlink()
    with raises(DatasetError, "split val", "unreadable_image 1", prepared.root / "images/v0.png", "No such"):
        prepared.curate("warn")
    assert "**Refused.**" in prepared.report()


def test_a_refused_dataset_leaves_no_list_of_an_earlier_run(prepared: Prepared) -> None:
    prepared.curate("block")
    prepared.add("copy", "val", 1)
    with pytest.raises(DatasetError):
        prepared.curate("block")
    assert not (prepared.root / "curated/samples.csv").exists()


def test_what_people_said_leaves_samples_out_until_it_is_taken_back(prepared: Prepared) -> None:
    prepared.curate("block")
    seen = {s.id: (s.image_sha256, s.mask_sha256) for s in prepared.samples}
    remarks = (Remark("t0", "drop", *seen["t0"]), Remark("t1", "fix_label", *seen["t1"]))
    prepared.add("t2", "train", 7)
    prepared.curate("block", remarks)
    assert prepared.kept() == ["v0", "e0", "t2"]
    assert {name: rule for name, (rule, _) in prepared.rejected().items()} == {
        "t0": "reviewed_drop",
        "t1": "reviewed_label",
    }
    draw_mask(prepared.mask_of("t1"), 1, 0)  # somebody mended it
    prepared.curate("block", remarks)
    assert prepared.kept() == ["t1", "v0", "e0", "t2"]
    prepared.curate("block")
    assert prepared.kept() == ["t0", "t1", "v0", "e0", "t2"]


def test_any_rule_may_block_and_names_its_key(prepared: Prepared) -> None:
    with raises(DatasetError, "e0", "curation.rules.single_class.policy"):
        prepared.curate("block", single_class={"policy": "block"})
    with raises(DatasetError, "split test", "class rest", "curation.rules.missing_class.policy"):
        prepared.curate("block", missing_class={"policy": "block"})


def test_a_class_without_a_pixel_to_train_on_blocks_unless_it_may_warn(
    prepared: Prepared, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("t0", "t1"):
        draw_mask(prepared.mask_of(name), 0, 255)
    with raises(DatasetError, "class rest", "(ids 1)", "curation.rules.untrained_class.policy", "warn") as caught:
        prepared.curate("block")
    assert len(str(caught.value).splitlines()) == 1
    (warning,) = (line for line in capsys.readouterr().out.splitlines() if "frequent_void" in line)
    assert all(value in warning for value in ("WARNING", "id 255", "38 %"))
    prepared.curate("block", train_on=("train", "val"))
    prepared.curate("block", untrained_class={"policy": "warn"})
    assert prepared.kept() == ["t0", "t1", "v0", "e0"]


def test_warnings_are_printed_one_line_for_each_rule(prepared: Prepared, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(5):
        prepared.add(f"void_{number}", "train", 20 + number, ids=(0, 255))
    prepared.curate("block", frequent_void={"above": 0.99})
    _, *warnings, last = capsys.readouterr().out.splitlines()  # the first is of the progress bar
    found = prepared.statistics()["found"]
    warned = [rule for rule, count in found.items() if count and getattr(CURATION.rules, rule).policy == "warn"]  # pyright: ignore
    assert sorted(line.split(": ")[:2] for line in warnings) == sorted(["WARNING", rule] for rule in warned)
    (single,) = (line for line in warnings if "single_class" in line)
    assert single.count("void_") == 2  # e0 is the first of the three that are named
    assert "3 more" in single
    assert str(prepared.root / "reports/curation.md") in last


def test_any_rule_may_drop(prepared: Prepared) -> None:
    prepared.add("e1", "test", 9)
    prepared.curate("block", single_class={"policy": "drop"}, shared_sequence={"policy": "drop"})
    assert prepared.kept() == ["t0", "t1", "v0", "e1"]
    (decision,) = [d for d in read_decisions(prepared.root / "curated/decisions.csv") if d.decision == "drop"]
    assert (decision.sample.id, decision.rules) == ("e0", ["single_class"])


def test_ids_outside_the_table_may_be_taken_for_void(prepared: Prepared) -> None:
    prepared.add("foreign", "train", 14, ids=(0, 77))
    prepared.curate("block", unknown_ids={"policy": "warn"})
    assert "foreign" in prepared.kept()
    assert prepared.statistics()["splits"]["train"]["void_pixels"] == PIXELS // 2  # pyright: ignore


def test_writes_the_same_bytes_again(prepared: Prepared) -> None:
    prepared.add("again", "train", 0)
    written = []
    for _ in range(2):
        prepared.curate("block")
        files = sorted((prepared.root / "curated").iterdir())
        written.append([p.read_bytes() for p in files] + [prepared.report().encode()])
    assert written[0] == written[1]


def test_finds_all_that_is_planted_in_the_streets_and_nothing_else(tmp_path: Path) -> None:
    streets = Streets.Params(
        height=96,
        width=128,
        train_sequences=3,
        val_sequences=1,
        test_sequences=1,
        unlabelled_sequences=0,
        frames_per_sequence=2,
        broken_items=True,
    )
    _prepare_and_curate(replace(EMBEDDED.dataset, options=streets), EMBEDDED.curation, tmp_path)
    kept = read_samples(tmp_path / "curated/samples.csv")
    assert len(kept) == 10
    assert not [s.id for s in kept if "broken" in s.id]
    rejected = json.loads((tmp_path / "curated/statistics.json").read_text())["rejected"]
    assert {rule: count for rule, count in rejected.items() if count} == {
        "unreadable_image": 1,
        "unreadable_mask": 1,
        "truncated_image": 1,
        "size_mismatch": 1,
        "unknown_ids": 1,
        "nothing_labelled": 1,
        "shifted_mask": 1,
        "frayed_borders": 1,
        "blank": 1,
        "overexposed": 1,
        "blurred": 1,
        "exact_duplicate": 1,
        "leakage": 2,
    }


@pytest.mark.slow
def test_the_real_camvid(camvid: Path, tmp_path: Path) -> None:
    """Nothing is left out; one mask of the test split is that of another frame, and the splits share sequences."""
    profile = load_params(ROOT / "profiles/camvid/params.yaml")
    _prepare_and_curate(replace(profile.dataset, source=str(camvid)), profile.curation, tmp_path)
    statistics = json.loads((tmp_path / "curated/statistics.json").read_text())
    assert {split: s["samples"] for split, s in statistics["splits"].items()} == {"train": 367, "val": 101, "test": 233}
    assert statistics["leakage"]["shared_sequences"] == {
        "train/val": ["0016E5"],
        "train/test": ["0001TP"],
        "val/test": [],
    }
    decisions = {d.sample.id: d for d in read_decisions(tmp_path / "curated/decisions.csv")}
    assert "shifted_mask" in decisions["Seq05VD_f02610"].rules
    assert sum("shifted_mask" in decision.rules for decision in decisions.values()) <= 3


def _prepare_and_curate(dataset: DatasetParams, curation: CurationParams, root: Path) -> None:
    prepare_dataset(dataset, root / "scratch", root / "prepared")
    write_review(root / "review.csv", [])
    curate_dataset(
        curation, ["train"], Path(dataset.source), root / "prepared", root / "review.csv", root / "scratch",
        root / "curated", root / "reports/curation.md", root / "reports/curation",
    )  # fmt: skip


def _digest(path: Path) -> str:
    return sha256(path) if path.is_file() else ""
