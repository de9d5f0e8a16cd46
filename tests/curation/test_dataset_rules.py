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
    thumb("t0", "train", 0, "drive_1"),
    thumb("t1", "train", 1, "drive_1"),
    thumb("v0", "val", 2, "y"),
    thumb("v1", "val", 90, "drive_1"),
    thumb("e0", "test", 91, "drive_1"),
]
SAMPLES = {item.sample.id: item.sample for item in FINGERPRINTS}
CLOSE = 0.001  # 2.5 degrees
PAIRS = compare_splits(FINGERPRINTS, CLOSE)


def test_exact_duplicates_name_the_original() -> None:
    same = [thumb(name, "train", 0, image="i", mask="m") for name in ("t0", "t1")]
    ((found, reason),) = exact_duplicate.check(same)
    assert found == same[1].sample
    assert "t0" in reason


def test_of_exact_copies_in_a_split_the_first_stays() -> None:
    fingerprints = [
        thumb("original", "train", 0, image="i", mask="m"),
        thumb("b", "train", 0, image="i", mask="m"),
        thumb("other_mask", "train", 0, image="i", mask="n"),
        thumb("c", "train", 0, image="i", mask="m"),
        thumb("other_split", "val", 0, image="i", mask="m"),
    ]
    found = exact_duplicate.check(fingerprints)
    assert [(sample.id, "original" in reason) for sample, reason in found] == [("b", True), ("c", True)]


def test_near_duplicates_are_within_a_split() -> None:
    ((sample, reason, pair),) = near_duplicate.check(FINGERPRINTS, below=CLOSE)
    assert sample.id == "t1"
    assert_names(reason, "t0", "0.0002")
    assert (pair.earlier, pair.later) == (SAMPLES["t0"], SAMPLES["t1"])


def test_leaks_are_across_splits_and_blame_the_later_one() -> None:
    reasons = {sample.id: reason for sample, reason, _ in leakage.check(PAIRS)}
    assert sorted(reasons) == ["e0", "v0"]
    assert_names(reasons["v0"], "t1", "train", "0.0002")
    assert_names(reasons["e0"], "v1", "val", "0.0002")


def test_shared_sequences_name_the_first_split_that_has_them() -> None:
    found = shared_sequence.check(PAIRS, SAMPLES.values())
    (first, reason), (second, other_reason) = found
    assert (first.id, second.id) == ("v1", "e0")
    assert_names(reason, "train", "drive_1")
    assert_names(other_reason, "train", "drive_1")


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


def assert_names(reason: str, *values: str) -> None:
    for value in values:
        assert value in reason


def raw_ids(**pixels: int) -> np.ndarray:
    counts = np.zeros(256, dtype=np.int64)
    for raw_id, count in pixels.items():
        counts[int(raw_id.removeprefix("id_"))] = count
    return counts


def test_a_class_must_have_a_pixel_to_train_on() -> None:
    swallowed, complete = raw_ids(id_7=50, id_255=50), raw_ids(id_7=1, id_1=1)
    ((sample, reason),) = untrained_class.check({"train": swallowed}, TABLE)
    assert sample is None
    assert_names(reason, "pole", "ids 1", "ids 7, 255", "ids 254, 255")
    assert list(untrained_class.check({"train": complete}, TABLE)) == []
    assert list(untrained_class.check({"train": swallowed, "val": complete}, TABLE)) == []
    assert list(untrained_class.check({"train": raw_ids()}, TABLE)) == []  # no sample is left, which is said already


def test_an_id_of_void_on_much_of_the_masks_is_named() -> None:
    ((sample, reason),) = frequent_void.check(raw_ids(id_0=60, id_254=15, id_255=25), TABLE)
    assert sample is None
    assert_names(reason, "id 255", "25 %")
    assert len(list(frequent_void.check(raw_ids(id_0=60, id_254=15, id_255=25), TABLE, above=0.1))) == 2
    assert list(frequent_void.check(raw_ids(id_0=80, id_255=20), TABLE)) == []
    assert list(frequent_void.check(raw_ids(), TABLE)) == []


def test_missing_classes_by_split() -> None:
    found = missing_class.check(SPLITS, NAMES, samples=2)
    reasons = [reason for _, reason in found]
    places = [("train", "pole"), ("train", "sign"), ("val", "pole"), ("val", "sign")]
    for reason, place in zip(reasons, places, strict=True):
        assert_names(reason, *place)
    assert ["1 sample" in reason for reason in reasons] == [True, False, False, True]


def test_imbalance_is_measured_on_train_and_against_the_most_frequent_class() -> None:
    ((_, reason),) = class_imbalance.check(SPLITS, NAMES, above=99.0)
    assert_names(reason, "train", "100 pixels", "road", "pole")
    assert list(class_imbalance.check(SPLITS, NAMES, above=100.0)) == []
