"""How long one call takes: the stopwatch, and the statistics that a sample can support."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np

MIN_CALLS_FOR_P90 = 64
MIN_CALLS_FOR_P99 = 662
"""Fewer calls say nothing about that percentile (95 % confidence that the sample reaches beyond it), so it is n/a."""


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """When to stop: the warm-up lasts both its calls and seconds; timing likewise, but never longer than max_s.

    Calls and seconds are those of all rounds together. Rivals take turns, round by round, so that a slow minute of the
    machine is everyone's.
    """

    warmup_calls: int
    warmup_s: float
    calls: int
    min_s: float
    max_s: float
    rounds: int
    noisy_above: float


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Milliseconds per call."""

    calls: int
    p50_ms: float
    p90_ms: float | None
    p99_ms: float | None
    mean_ms: float
    min_ms: float
    coefficient_of_variation: float
    noisy: bool
    throughput_images_per_s: float  # calls one after the other

    def record(self) -> dict[str, object]:
        return asdict(self)


Clock = Callable[[], float]
"""Seconds, from any beginning."""


def warm_up(call: Callable[[int], object], protocol: Protocol, clock: Clock = time.perf_counter) -> None:
    """Make `call(i)` for i = 0, 1, ... until it is as fast as it gets; nothing is timed."""
    begun, calls = clock(), 0
    while calls < protocol.warmup_calls or clock() - begun < protocol.warmup_s:
        call(calls)
        calls += 1
        if clock() - begun > protocol.max_s:
            break


def time_round(call: Callable[[int], object], protocol: Protocol, clock: Clock = time.perf_counter) -> list[float]:
    """Seconds of each `call(i)` for i = 0, 1, ... of one round; at least one call."""
    least_calls, least_s = -(-protocol.calls // protocol.rounds), protocol.min_s / protocol.rounds
    seconds: list[float] = []
    total = 0.0
    while (len(seconds) < least_calls or total < least_s) and (total < protocol.max_s / protocol.rounds or not seconds):
        start = clock()
        call(len(seconds))
        seconds.append(clock() - start)
        total += seconds[-1]
    return seconds


def summarize(seconds: Sequence[float], images_per_call: int, noisy_above: float) -> Latency:
    """Statistics of the single calls' durations, of all rounds together."""
    ms = 1e3 * np.asarray(seconds)
    variation = float(ms.std() / ms.mean())
    return Latency(
        calls=len(ms),
        p50_ms=float(np.percentile(ms, 50)),
        p90_ms=float(np.percentile(ms, 90)) if len(ms) >= MIN_CALLS_FOR_P90 else None,
        p99_ms=float(np.percentile(ms, 99)) if len(ms) >= MIN_CALLS_FOR_P99 else None,
        mean_ms=float(ms.mean()),
        min_ms=float(ms.min()),
        coefficient_of_variation=variation,
        noisy=variation > noisy_above,
        throughput_images_per_s=float(images_per_call * 1e3 / ms.mean()),
    )
