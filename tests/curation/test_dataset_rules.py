import numpy as np

from pipeline.curation.dataset_rules import (
    class_imbalance,
    exact_duplicate,
    frequent_void,
    leakage,
    missing_class,
    near_duplicate,
    shared_sequence,
    untrained_class,
)
from pipeline.curation.duplicates import compare_splits
from pipeline.data.classes import ClassTable, LabelClass
from pipeline.records.curation import SplitStatistics
from tests.curation.measured import thumb

FINGERPRINTS = [
    thumb("t0", "train", 0, "x"),
    thumb("t1", "train", 1, "x"),
    thumb("v0", "val", 2, "y"),
    thumb("v1", "val", 90, "x"),
    thumb("e0", "test", 91, "x"),
]
SAMPLES = {item.sample.id: item.sample for item in FINGERPRINTS}
CLOSE = 0.001  # 2.5 degrees
PAIRS = compare_splits(FINGERPRINTS, CLOSE)


def test_exact_duplicates_name_the_original() -> None:
    same = [thumb(name, "train", 0, image="i", mask="m") for name in ("t0", "t1")]
    assert list(exact_duplicate.check(same)) == [(same[1].sample, "same pixels and same mask as t0")]


def test_of_exact_copies_in_a_split_the_first_stays() -> None:
    fingerprints = [
        thumb("a", "train", 0, image="i", mask="m"),
        thumb("b", "train", 0, image="i", mask="m"),
        thumb("other_mask", "train", 0, image="i", mask="n"),
        thumb("c", "train", 0, image="i", mask="m"),
        thumb("other_split", "val", 0, image="i", mask="m"),
    ]
    found = exact_duplicate.check(fingerprints)
    assert [(sample.id, reason[-1]) for sample, reason in found] == [("b", "a"), ("c", "a")]


def test_near_duplicates_are_within_a_split() -> None:
    found = near_duplicate.check(FINGERPRINTS, below=CLOSE)
    assert [(sample.id, reason) for sample, reason, _ in found] == [
        ("t1", "nearly the same image as t0 of the split (distance 0.0002)")
    ]
    assert [(pair.earlier, pair.later) for _, _, pair in found] == [(SAMPLES["t0"], SAMPLES["t1"])]


def test_leaks_are_across_splits_and_blame_the_later_one() -> None:
    assert {sample.id: reason for sample, reason, _ in leakage.check(PAIRS)} == {
        "v0": "nearly the same image as t1 of split train (distance 0.0002)",
        "e0": "nearly the same image as v1 of split val (distance 0.0002)",
    }


def test_shared_sequences_name_the_first_split_that_has_them() -> None:
    found = shared_sequence.check(PAIRS, SAMPLES.values())
    assert [(sample.id, reason) for sample, reason in found] == [
        ("v1", "split train has frames of its sequence x too"),
        ("e0", "split train has frames of its sequence x too"),
    ]


SPLITS = {
    "train": SplitStatistics(samples=9, sequences=3, pixels=[1000, 10, 0], void_pixels=0, samples_with_class=[9, 1, 0]),
    "val": SplitStatistics(samples=4, sequences=1, pixels=[500, 0, 3], void_pixels=0, samples_with_class=[4, 0, 1]),
    "test": SplitStatistics(samples=0, sequences=0, pixels=[0, 0, 0], void_pixels=0, samples_with_class=[0, 0, 0]),
    "unlabelled": SplitStatistics(
        samples=5, sequences=5, pixels=[0, 0, 0], void_pixels=0, samples_with_class=[0, 0, 0]
    ),
}
NAMES = ["road", "pole", "sign"]


TABLE = ClassTable(
    "toy", (LabelClass("road", (1, 1, 1), (0, 7)), LabelClass("pole", (2, 2, 2), (1,))), void_raw_ids=(254, 255)
)


def raw_ids(**pixels: int) -> np.ndarray:
    counts = np.zeros(256, dtype=np.int64)
    for raw_id, count in pixels.items():
        counts[int(raw_id.removeprefix("id_"))] = count
    return counts


def test_a_class_must_have_a_pixel_to_train_on() -> None:
    swallowed, complete = raw_ids(id_7=50, id_255=50), raw_ids(id_7=1, id_1=1)
    ((sample, reason),) = untrained_class.check({"train": swallowed}, TABLE)
    assert sample is None
    assert "class pole (ids 1)" in reason
    assert "hold ids 7, 255 (void: ids 254, 255)" in reason
    assert list(untrained_class.check({"train": complete}, TABLE)) == []
    assert list(untrained_class.check({"train": swallowed, "val": complete}, TABLE)) == []
    assert list(untrained_class.check({"train": raw_ids()}, TABLE)) == []  # no sample is left, which is said already


def test_an_id_of_void_on_much_of_the_masks_is_named() -> None:
    ((sample, reason),) = frequent_void.check(raw_ids(id_0=60, id_254=15, id_255=25), TABLE)
    assert sample is None
    assert "void id 255 covers 25 %" in reason
    assert len(list(frequent_void.check(raw_ids(id_0=60, id_254=15, id_255=25), TABLE, above=0.1))) == 2
    assert list(frequent_void.check(raw_ids(id_0=80, id_255=20), TABLE)) == []
    assert list(frequent_void.check(raw_ids(), TABLE)) == []


def test_missing_classes_by_split() -> None:
    found = missing_class.check(SPLITS, NAMES, samples=2)
    assert [reason for _, reason in found] == [
        "split train: class pole occurs in 1 sample(s), fewer than 2",
        "split train: no pixel of class sign; nothing can be said about it there",
        "split val: no pixel of class pole; nothing can be said about it there",
        "split val: class sign occurs in 1 sample(s), fewer than 2",
    ]


def test_imbalance_is_measured_on_train_and_against_the_most_frequent_class() -> None:
    ((_, reason),) = class_imbalance.check(SPLITS, NAMES, above=99.0)
    assert reason == "split train has 100 pixels of road for each one of pole"
    assert list(class_imbalance.check(SPLITS, NAMES, above=100.0)) == []
