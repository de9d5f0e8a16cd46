"""The verdict's arithmetic, and results of seeds that were trained on different machines."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pipeline.comparison.results import CandidateResult, paired_gain
from pipeline.comparison.trial import Cost
from pipeline.params.runs import TeachingParams
from tests.raising import raises

SCORES = st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100)), min_size=2, max_size=8)


def test_matches_its_definition() -> None:
    gain = paired_gain([31.0, 33.0, 32.0], [30.0, 30.0, 30.0], 0.95)
    t = 0.95 * math.sqrt(2 / (4 * 0.975 * 0.025))  # the quantile's closed form for 2 degrees of freedom
    reach = t * 1.0 / math.sqrt(3)  # the differences' standard deviation is 1
    assert gain.differences == (1.0, 3.0, 2.0)
    assert (gain.mean, gain.low, gain.high) == pytest.approx((2.0, 2.0 - reach, 2.0 + reach), rel=1e-12)
    assert gain.verdict == "no significant gain"


@pytest.mark.parametrize(
    ("scores", "verdict"),
    [([31.0, 31.2, 31.1], "gain"), ([29.0, 28.8, 28.9], "loss"), ([31.0, 29.0, 30.0], "no significant gain")],
)
def test_a_verdict_needs_the_interval_on_one_side_of_zero(scores: list[float], verdict: str) -> None:
    assert paired_gain(scores, [30.0, 30.0, 30.0], 0.95).verdict == verdict


def test_pairs_cancel_what_a_seed_does_to_both() -> None:
    hard_and_easy_seeds = [10.0, 50.0, 30.0]
    gain = paired_gain([score + d for score, d in zip(hard_and_easy_seeds, (1.0, 1.1, 0.9), strict=True)],
                       hard_and_easy_seeds, 0.95)  # fmt: skip
    assert gain.verdict == "gain"


def test_no_difference_at_all_is_no_gain() -> None:
    gain = paired_gain([30.0, 31.0], [30.0, 31.0], 0.95)
    assert (gain.low, gain.high, gain.verdict) == (0.0, 0.0, "no significant gain")


def test_one_seed_is_no_verdict() -> None:
    gain = paired_gain([40.0], [30.0], 0.95)
    assert (gain.mean, gain.low, gain.high, gain.verdict) == (10.0, None, None, "one seed: no verdict")


@pytest.mark.parametrize(("scores", "baseline"), [([1.0, 2.0], [1.0]), ([], [])])
def test_what_cannot_be_paired_is_refused(scores: list[float], baseline: list[float]) -> None:
    with raises(ValueError, f"{len(scores)} scores", f" {len(baseline)} "):
        paired_gain(scores, baseline, 0.95)


@pytest.mark.filterwarnings("ignore:Precision loss occurred")  # of the reference, where differences are all alike
@given(SCORES, st.floats(0.5, 0.99))
def test_agrees_with_the_paired_t_test(pairs: list[tuple[float, float]], confidence: float) -> None:
    ours, theirs = [a for a, _ in pairs], [b for _, b in pairs]
    gain = paired_gain(ours, theirs, confidence)
    assert gain.low is not None
    assert gain.high is not None
    assert gain.low <= gain.mean <= gain.high
    test = stats.ttest_rel(ours, theirs)
    if math.isfinite(test.statistic) and abs(test.pvalue - (1 - confidence)) > 1e-6:
        assert (gain.verdict != "no significant gain") == (test.pvalue < 1 - confidence)


@given(SCORES)
def test_exchanging_both_turns_it_around(pairs: list[tuple[float, float]]) -> None:
    ours, theirs = [a for a, _ in pairs], [b for _, b in pairs]
    there, back = paired_gain(ours, theirs, 0.95), paired_gain(theirs, ours, 0.95)
    assert there.mean == pytest.approx(-back.mean)
    assert {there.verdict, back.verdict} in ({"gain", "loss"}, {"no significant gain"})


def _result(name: str, seconds: tuple[float, ...]) -> CandidateResult:
    return CandidateResult(
        name=name,
        teaching=TeachingParams(distill={}, momentum_shift=0.0, inherit_layers=False, unlabelled_share=0.0),
        iterations=1,
        miou=(0.5,) * len(seconds),
        iou_per_class=({},) * len(seconds),
        seconds_per_iteration=seconds,
        peak_memory_bytes=1,
        gpu_peak_memory_bytes=None,
        gpu_watts=None,
        agreement=None,
        cost=Cost(training_only_parameters=0, student_macs=1, teacher_macs=0, methods_macs=0),
        machines=({"cpu": "made up"},) * len(seconds),
        precisions=("fp32 on cpu",) * len(seconds),
    )


def test_time_is_compared_within_a_seed() -> None:
    """The third seed's machine is four times as fast: that makes the method no cheaper."""
    slow, fast = 2.0, 0.5
    baseline = _result("none", (slow, slow, fast))
    assert _result("kd", (3 * slow, 3 * slow, 3 * fast)).slowdown(baseline) == 3.0
    assert _result("kd", (slow, 2 * slow, 3 * fast)).slowdown(baseline) == 2.0
