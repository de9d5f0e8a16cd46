"""The stopwatch, tested with a clock of our own."""

import itertools
from collections.abc import Callable
from dataclasses import replace

import pytest

from pipeline.measure.latency import MIN_CALLS_FOR_P90, MIN_CALLS_FOR_P99, summarize, time_round, warm_up
from pipeline.records.benchmark import Protocol

PROTOCOL = Protocol(
    warmup_calls=3,
    warmup_s=0.0,
    calls=100,
    min_s=0.0,
    max_s=1000.0,
    rounds=1,
    noisy_above=0.2,
    threads=1,
    split="val",
    images=1,
)


class Clock:
    """Stands still but for the calls, each of which takes `seconds`."""

    def __init__(self, seconds: Callable[[int], float]):
        self.now, self.count, self.seconds = 0.0, 0, seconds

    def __call__(self) -> float:
        return self.now

    def call(self, _: int) -> None:
        self.now += self.seconds(self.count)
        self.count += 1


def test_percentiles_and_throughput() -> None:
    latency = summarize([[0.010] * 100], 2, 0.2, 0.0)
    assert latency.calls == 100
    assert latency.p50_ms == pytest.approx(10.0)
    assert latency.throughput_images_per_s == pytest.approx(200.0)
    assert latency.coefficient_of_variation == pytest.approx(0.0, abs=1e-9)
    assert not latency.noisy


def test_every_call_is_timed_alone() -> None:
    clock = Clock(lambda i: 0.010 + 0.001 * i)
    seconds = time_round(clock.call, replace(PROTOCOL, calls=4), clock)
    assert seconds == pytest.approx([0.010, 0.011, 0.012, 0.013])


def test_warm_up_lasts_calls_and_seconds() -> None:
    clock = Clock(lambda i: 0.1)
    warm_up(clock.call, replace(PROTOCOL, warmup_s=2.0), clock)
    assert clock.count == 20
    warm_up(clock.call, PROTOCOL, clock)
    assert clock.count == 20 + 3


def test_warm_up_ends_at_the_limit() -> None:
    clock = Clock(lambda i: 4.0)
    warm_up(clock.call, replace(PROTOCOL, warmup_calls=50, max_s=10.0), clock)
    assert clock.count == 3


def test_a_round_goes_on_until_its_seconds_are_full() -> None:
    clock = Clock(lambda i: 0.010)
    assert len(time_round(clock.call, replace(PROTOCOL, min_s=3.0), clock)) == pytest.approx(300, abs=1)


def test_rounds_share_calls_and_seconds() -> None:
    clock = Clock(lambda i: 0.010)
    assert len(time_round(clock.call, replace(PROTOCOL, rounds=3), clock)) == 34
    assert len(time_round(clock.call, replace(PROTOCOL, rounds=3, min_s=3.0), clock)) == pytest.approx(100, abs=1)


def test_a_slow_artifact_ends_at_the_limit_with_a_call_at_least() -> None:
    clock = Clock(lambda i: 4.0)
    assert len(time_round(clock.call, replace(PROTOCOL, max_s=10.0), clock)) == 3
    assert len(time_round(clock.call, replace(PROTOCOL, max_s=10.0, rounds=2), clock)) == 2
    slower = Clock(lambda i: 40.0)
    assert len(time_round(slower.call, replace(PROTOCOL, max_s=10.0), slower)) == 1


@pytest.mark.parametrize(
    "calls", [1, MIN_CALLS_FOR_P90 - 1, MIN_CALLS_FOR_P90, MIN_CALLS_FOR_P99 - 1, MIN_CALLS_FOR_P99]
)
def test_percentiles_that_the_sample_cannot_support_are_not_given(calls: int) -> None:
    latency = summarize([[0.01] * calls], 1, 0.2, 0.0)
    assert (latency.p90_ms is None) == (calls < MIN_CALLS_FOR_P90)
    assert (latency.p99_ms is None) == (calls < MIN_CALLS_FOR_P99)


def test_a_noisy_sample_is_marked() -> None:
    assert summarize([list(itertools.islice(itertools.cycle([0.01, 0.03]), 100))], 1, 0.2, 0.0).noisy
