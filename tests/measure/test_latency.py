"""The stopwatch, tested with a clock of our own."""

import itertools
from collections.abc import Callable
from dataclasses import replace

import pytest

from pipeline.measure.latency import MIN_CALLS_FOR_P90, MIN_CALLS_FOR_P99, Protocol, measure_latency, summarize

PROTOCOL = Protocol(warmup_calls=3, warmup_s=0.0, calls=100, min_s=0.0, max_s=1000.0, noisy_above=0.2)


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
    clock = Clock(lambda i: 0.010)
    latency = measure_latency(clock.call, 2, PROTOCOL, clock)
    assert latency.calls == 100
    assert latency.p50_ms == pytest.approx(10.0)
    assert latency.throughput_images_per_s == pytest.approx(200.0)
    assert latency.coefficient_of_variation == pytest.approx(0.0, abs=1e-9)
    assert not latency.noisy


def test_warm_up_is_not_timed() -> None:
    clock = Clock(lambda i: 5.0 if i < 3 else 0.010)
    assert measure_latency(clock.call, 1, PROTOCOL, clock).mean_ms == pytest.approx(10.0)


def test_warm_up_lasts_calls_and_seconds() -> None:
    clock = Clock(lambda i: 0.1)
    measure_latency(clock.call, 1, replace(PROTOCOL, warmup_s=2.0), clock)
    assert clock.count == 20 + 100


def test_it_goes_on_until_the_seconds_are_full() -> None:
    clock = Clock(lambda i: 0.010)
    assert measure_latency(clock.call, 1, replace(PROTOCOL, min_s=3.0), clock).calls == pytest.approx(300, abs=1)


def test_a_slow_artifact_ends_at_the_limit_with_a_call_at_least() -> None:
    clock = Clock(lambda i: 4.0)
    assert measure_latency(clock.call, 1, replace(PROTOCOL, max_s=10.0), clock).calls == 3
    slower = Clock(lambda i: 40.0)
    assert measure_latency(slower.call, 1, replace(PROTOCOL, max_s=10.0), slower).calls == 1


@pytest.mark.parametrize(
    "calls", [1, MIN_CALLS_FOR_P90 - 1, MIN_CALLS_FOR_P90, MIN_CALLS_FOR_P99 - 1, MIN_CALLS_FOR_P99]
)
def test_percentiles_that_the_sample_cannot_support_are_not_given(calls: int) -> None:
    latency = summarize([0.01] * calls, 1, 0.2)
    assert (latency.p90_ms is None) == (calls < MIN_CALLS_FOR_P90)
    assert (latency.p99_ms is None) == (calls < MIN_CALLS_FOR_P99)


def test_a_noisy_sample_is_marked() -> None:
    assert summarize(list(itertools.islice(itertools.cycle([0.01, 0.03]), 100)), 1, 0.2).noisy
