import pytest

from pipeline.curation.duplicates import NearPair, SplitPair
from pipeline.curation.report import curation_report, warnings
from pipeline.curation.rules import Rejection
from pipeline.curation.statistics import NEAREST, Findings, SplitStatistics, affected_samples, nearest_pairs
from tests.curation.measured import sample

NEAR = NearPair("t0", "v0", 0.00312)
FINDINGS = Findings(
    class_names=["road", "tree"],
    policy="warn",
    distance=0.02,
    rejections=[Rejection(sample("bad", "train"), "unreadable_image", "bad.jpg cannot be read:\nodd | text")],
    split_pairs=[SplitPair("train", "val", 2, [NEAR, NearPair("t1", "v1", 0.4)], [NEAR], ["0016E5"])],
    splits={
        "train": SplitStatistics(10, 2, [300, 100], 100, [10, 4]),
        "val": SplitStatistics(2, 1, [50, 0], 0, [2, 0]),
    },
)


@pytest.mark.parametrize(
    "line",
    [
        "Kept 12 samples (train 10, val 2), rejected 1.",
        "| unreadable_image | 1 |",
        "| leakage | 0 |",
        "| bad | train | unreadable_image | bad.jpg cannot be read: odd \\| text |",
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
    assert line in curation_report(FINDINGS, []).splitlines()


def test_warnings() -> None:
    assert warnings(FINDINGS) == [
        "Split val: no pixel of class tree; nothing can be said about it there.",
        "1 sample(s) of split val have a near-duplicate in an earlier split.",
        "Splits train and val share 1 sequence(s): 0016E5.",
    ]
    assert warnings(FINDINGS._replace(policy="drop"))[1].endswith("and were rejected.")


def test_nothing_to_warn_of() -> None:
    clean = FINDINGS._replace(split_pairs=[], rejections=[], splits={"train": FINDINGS.splits["train"]})
    page = curation_report(clean, [])
    assert "## Warnings\n\nNone." in page
    assert "Fewer than two splits" in page


def test_a_refusal_stands_at_the_top() -> None:
    page = curation_report(FINDINGS, ["splits share near-duplicates"])
    assert page.index("**Refused.**") < page.index("- splits share near-duplicates") < page.index("## Warnings")
    assert "Refused" not in curation_report(FINDINGS, [])


def test_a_sample_that_leaks_twice_is_affected_once() -> None:
    near = NearPair("v0", "e0", 0.001)
    pairs = [
        SplitPair("train", "val", 0, [], [], []),
        SplitPair("train", "test", 1, [near], [near._replace(earlier="t0")], []),
        SplitPair("val", "test", 1, [near], [near], []),
    ]
    assert affected_samples(pairs) == {"val": 0, "test": 1}


def test_the_nearest_pairs_are_few_and_in_order() -> None:
    many = [NearPair("t", f"v{i}", i / 100) for i in range(30)]
    pair = SplitPair("train", "val", 0, many[::-1], [], [])
    assert nearest_pairs([pair]) == many[:NEAREST]
