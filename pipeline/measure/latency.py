"""Time single calls, and compute the statistics for which there are enough calls."""

import time
from collections.abc import Callable, Sequence

import numpy as np

from pipeline.records.benchmark import Latency, Protocol

MIN_CALLS_FOR_P90 = 64
MIN_CALLS_FOR_P99 = 662
"""With fewer calls the percentile is n/a. With this many, some call lies beyond it with 99.88 % confidence for p90
(1 - 0.9**64), and with 99.87 % for p99 (1 - 0.99**662)."""

Clock = Callable[[], float]
"""Returns the seconds since an arbitrary moment."""


def warm_up(call: Callable[[int], object], protocol: Protocol, clock: Clock = time.perf_counter) -> None:
    """Make `call(i)` for i = 0, 1, ... until the warm-up of the protocol is over; no time is recorded."""
    begun, calls = clock(), 0
    while calls < protocol.warmup_calls or clock() - begun < protocol.warmup_s:
        call(calls)
        calls += 1
        if clock() - begun > protocol.max_s:
            break


def time_round(call: Callable[[int], object], protocol: Protocol, clock: Clock = time.perf_counter) -> list[float]:
    """Return the seconds of each `call(i)` for i = 0, 1, ... of one round; at least one call."""
    least_calls, least_s = -(-protocol.calls // protocol.rounds), protocol.min_s / protocol.rounds
    seconds: list[float] = []
    total = 0.0
    while (len(seconds) < least_calls or total < least_s) and (total < protocol.max_s / protocol.rounds or not seconds):
        start = clock()
        call(len(seconds))
        seconds.append(clock() - start)
        total += seconds[-1]
    return seconds


def summarize(
    rounds: Sequence[Sequence[float]], images_per_call: int, noisy_above: float, peak_memory_mb: float
) -> Latency:
    """Return the statistics over the single calls of all rounds, whose durations are in seconds."""
    ms = 1e3 * np.concatenate([np.asarray(seconds) for seconds in rounds])
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
        p50_ms_of_rounds=[1e3 * float(np.median(seconds)) for seconds in rounds],
        peak_memory_mb=peak_memory_mb,
    )
