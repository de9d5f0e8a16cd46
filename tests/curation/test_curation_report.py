import re
from pathlib import Path

import pytest

from pipeline.curation.duplicates import NearPair, SplitPair
from pipeline.curation.findings import NEAREST, Findings, drops, statistics
from pipeline.curation.pictures import Picture
from pipeline.curation.report import LISTED, curation_report
from pipeline.curation.rule import Finding, all_rules
from pipeline.records.curation import SplitStatistics
from tests.curation.measured import sample

BAD, LEAK = sample("bad", "train"), sample("v0", "val")
NEAR = NearPair(sample("t0", "train"), LEAK, 0.00312)
FAR = NearPair(sample("t1", "train"), sample("v1", "val"), 0.4)
FOUND = [
    Finding("unreadable_image", "drop", BAD, "image: cannot be read:\nodd | text"),
    Finding("wrong_suffix", "drop", BAD, "the image is called *.png and is GIF"),
    Finding("leakage", "warn", LEAK, "nearly the same image as t0 of split train (distance 0.0031)"),
    Finding("missing_class", "warn", None, "split val: no pixel of class tree"),
]
SPLITS = {
    "train": SplitStatistics(samples=10, sequences=2, pixels=[300, 100], void_pixels=100, samples_with_class=[10, 4]),
    "val": SplitStatistics(samples=2, sequences=1, pixels=[50, 0], void_pixels=0, samples_with_class=[2, 0]),
}
POLICIES = {**dict.fromkeys(all_rules(), "drop"), "leakage": "warn", "missing_class": "warn"}
PAIRS = [SplitPair("train", "val", 2, [NEAR, FAR], [NEAR], ["0016E5"])]


def findings_of(found: list[Finding], pairs: list[SplitPair]) -> Findings:
    numbers = statistics(["road", "tree"], SPLITS, POLICIES, found, pairs, 0.02)
    return Findings([BAD, LEAK], found, pairs, numbers)


FINDINGS = findings_of(FOUND, PAIRS)


def page(findings: Findings = FINDINGS, blocking: tuple[str, ...] = ()) -> str:
    pictures = {"leakage": [Picture(Path("reports/curation/leakage_1.jpg"), "train t0 | val v0 | distance 0.0031")]}
    return curation_report(findings, blocking, pictures, Path("reports/curation.md"))


@pytest.mark.parametrize(
    "line",
    [
        "Kept 12 samples (train 10, val 2), left out 1.",
        f"| unreadable_image | drop | 1 | 1 | {all_rules()['unreadable_image'].meaning} |",
        f"| wrong_suffix | drop | 1 | 0 | {all_rules()['wrong_suffix'].meaning} |",
        f"| blank | drop | 0 | 0 | {all_rules()['blank'].meaning} |",
        "| bad | train | image: cannot be read: odd \\| text |",
        "| the dataset |  | split val: no pixel of class tree |",
        "![train t0 \\| val v0 \\| distance 0.0031](curation/leakage_1.jpg)",
        "| class | train: pixels | train: samples | val: pixels | val: samples |",
        "| road | 75.00 % | 10 | 100.00 % | 2 |",
        "| tree | 25.00 % | 4 | 0.00 % | 0 |",
        "| void, of all pixels | 20.00 % |  | 0.00 % |  |",
        "| train/val | 2 | 1 | 0016E5 |",
        "| t0 | v0 | 0.0031 |",
        "| t1 | v1 | 0.4000 |",
    ],
)
def test_the_page_says(line: str) -> None:
    assert line in page().splitlines()


def test_every_rule_is_named_also_where_it_found_nothing() -> None:
    assert all(f"| {rule} | " in page() for rule in all_rules())
    assert "## blank" not in page()


def test_a_rule_with_many_findings_lists_some() -> None:
    many = [Finding("blurred", "warn", sample(f"s{i}"), "blurred") for i in range(LISTED + 5)]
    text = page(findings_of(many, PAIRS))
    assert text.count("| train | blurred |") == LISTED
    assert re.search(r"\b5\b.*`data/curated/decisions.csv`", text)


def test_one_split_has_no_distances() -> None:
    assert "Fewer than two splits" in page(findings_of(FOUND, []))


def test_a_refusal_stands_at_the_top() -> None:
    text = page(blocking=("splits share near-duplicates",))
    assert text.index("**Refused.**") < text.index("- splits share near-duplicates") < text.index("## Rules")
    assert "Refused" not in page()


def test_a_sample_is_left_out_by_the_first_rule_that_drops_it() -> None:
    assert drops(FOUND) == {"bad": FOUND[0]}
    counts = FINDINGS.statistics.rejected
    assert {rule: count for rule, count in counts.items() if count} == {"unreadable_image": 1}


def test_a_sample_that_leaks_twice_is_affected_once() -> None:
    near = NearPair(LEAK, sample("e0", "test"), 0.001)
    pairs = [
        SplitPair("train", "val", 0, [], [], []),
        SplitPair("train", "test", 1, [near], [near._replace(earlier=BAD)], []),
        SplitPair("val", "test", 1, [near], [near], []),
    ]
    assert findings_of([], pairs).statistics.leakage.evaluation_samples_affected == {"val": 0, "test": 1}


def test_the_nearest_pairs_are_few_and_in_order() -> None:
    many = [NearPair(BAD, sample(f"v{i}", "val"), i / 100) for i in range(30)]
    nearest = findings_of([], [SplitPair("train", "val", 0, many[::-1], [], [])]).statistics.leakage.nearest
    assert [(pair.a, pair.b, pair.distance) for pair in nearest] == [("bad", f"v{i}", i / 100) for i in range(NEAREST)]
