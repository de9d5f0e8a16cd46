from pipeline.curation.duplicates import compare_splits
from pipeline.curation.groups import (
    class_imbalance,
    exact_duplicates,
    leaks,
    missing_classes,
    near_duplicate_findings,
    near_duplicates,
    shared_sequences,
)
from pipeline.curation.statistics import SplitStatistics
from pipeline.params.curation import DistanceParams, OccurrenceParams, RatioParams, RuleParams
from tests.curation.measured import look, sample

LOOKS = [
    look("t0", "train", 0, "x"),
    look("t1", "train", 1, "x"),
    look("v0", "val", 2, "y"),
    look("v1", "val", 90, "x"),
    look("e0", "test", 91, "x"),
]
SAMPLES = {item.id: sample(item.id, item.split, item.sequence) for item in LOOKS}
CLOSE = DistanceParams(policy="drop", below=0.001)  # 2.5 degrees
PAIRS = compare_splits(LOOKS, CLOSE.below)


def test_exact_duplicates_name_the_original() -> None:
    looks = [look("t0", "train", 0, image="i", mask="m"), look("t1", "train", 0, image="i", mask="m")]
    (finding,) = exact_duplicates(looks, SAMPLES, RuleParams(policy="warn"))
    assert (finding.rule, finding.policy, finding.sample) == ("exact_duplicate", "warn", SAMPLES["t1"])
    assert finding.reason == "same pixels and same mask as t0"


def test_near_duplicates_are_within_a_split() -> None:
    pairs = near_duplicates(LOOKS, CLOSE.below)
    (finding,) = near_duplicate_findings(pairs, SAMPLES, CLOSE)
    assert (finding.sample, finding.policy) == (SAMPLES["t1"], "drop")
    assert finding.reason == "nearly the same image as t0 of the split (distance 0.0002)"


def test_leaks_are_across_splits_and_blame_the_later_one() -> None:
    found = {finding.sample.id: finding.reason for finding in leaks(PAIRS, SAMPLES, CLOSE) if finding.sample}
    assert found == {
        "v0": "nearly the same image as t1 of split train (distance 0.0002)",
        "e0": "nearly the same image as v1 of split val (distance 0.0002)",
    }


def test_shared_sequences_name_the_first_split_that_has_them() -> None:
    found = shared_sequences(PAIRS, SAMPLES.values(), RuleParams(policy="block"))
    assert [(f.sample.id, f.reason, f.policy) for f in found if f.sample] == [
        ("v1", "split train has frames of its sequence x too", "block"),
        ("e0", "split train has frames of its sequence x too", "block"),
    ]


SPLITS = {
    "train": SplitStatistics(9, 3, [1000, 10, 0], 0, [9, 1, 0]),
    "val": SplitStatistics(4, 1, [500, 0, 3], 0, [4, 0, 1]),
    "test": SplitStatistics(0, 0, [0, 0, 0], 0, [0, 0, 0]),
    "unlabelled": SplitStatistics(5, 5, [0, 0, 0], 0, [0, 0, 0]),
}
NAMES = ["road", "pole", "sign"]


def test_missing_classes_by_split() -> None:
    found = missing_classes(SPLITS, NAMES, OccurrenceParams(policy="warn", samples=2))
    assert [finding.reason for finding in found] == [
        "split train: class pole occurs in 1 sample(s), fewer than 2",
        "split train: no pixel of class sign; nothing can be said about it there",
        "split val: no pixel of class pole; nothing can be said about it there",
        "split val: class sign occurs in 1 sample(s), fewer than 2",
    ]


def test_imbalance_is_measured_on_train_and_against_the_most_frequent_class() -> None:
    (finding,) = class_imbalance(SPLITS, NAMES, RatioParams(policy="warn", above=99.0))
    assert finding.reason == "split train has 100 pixels of road for each one of pole"
    assert class_imbalance(SPLITS, NAMES, RatioParams(policy="warn", above=100.0)) == []
