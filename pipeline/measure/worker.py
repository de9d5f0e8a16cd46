"""A process that loads one artifact on one runtime, and times it on request.

Two sessions in one process keep threads spinning on the same cores and slow each other down. Processes do not, as long
as only one of them works at a time.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from models.errors import ModelError
from pipeline.cli import end_with_parent
from pipeline.data.images import read_image
from pipeline.errors import SegdistillError
from pipeline.measure.cases import BenchmarkCase
from pipeline.measure.latency import time_round, warm_up
from pipeline.measure.machine import peak_memory_bytes
from pipeline.records.benchmark import Protocol
from pipeline.runtime.artifacts import open_artifact
from segdistill_runtime.errors import NotAvailable, Refused
from segdistill_runtime.images import Resizing
from segdistill_runtime.runner import Runner

NODE_CALLS = 6
SETTLE_S = 0.2
"""Seconds of untimed calls at the beginning of a turn; the threads of the process before spin for that long."""
SETTLE_CALLS = 2
"""Untimed calls before each boundary."""

CONTEXT = get_context("forkserver")
CONTEXT.set_forkserver_preload([__name__])  # the imports that all cases share are done once

Call = Callable[[int], object]
"""Makes the i-th call; each call takes the next images."""


class BenchmarkError(SegdistillError):
    """The error of a measurement that ended without a result."""


class Ready(NamedTuple):
    provider: str  # the device, or the execution provider, that computes
    unavailable: str  # why nothing can be measured; empty if it can


class Round(NamedTuple):
    seconds: dict[str, list[float]]  # of the single calls, by boundary
    peak_memory_mb: float  # of the process so far


class Worker:
    """The process of one case. It begins to load the artifact at once."""

    def __init__(self, case: BenchmarkCase, protocol: Protocol, images: Sequence[Path]):
        self.case = case
        self.told = (case, protocol, tuple(images))
        self.pool = ProcessPoolExecutor(1, CONTEXT, initializer=end_with_parent)
        self.opening = self.pool.submit(open_case, *self.told)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.pool.shutdown(cancel_futures=True)

    def ask(self, order: Callable[..., Any]) -> Any:
        """Run one of the functions below in the process; raise BenchmarkError if the artifact is damaged or it dies."""
        try:
            return (self.opening if order is open_case else self.pool.submit(order, *self.told)).result()
        except BrokenProcessPool as error:
            raise BenchmarkError(
                f"the process that measured {self.case.path} on {self.case.runtime} was killed, most likely because "
                f"memory ran out; free memory, or read the message of the process above, if there is one"
            ) from error
        except (SegdistillError, ModelError, Refused) as error:
            what = f"{self.case.path} cannot be measured on {self.case.runtime}"
            raise BenchmarkError(f"{what}: {type(error).__name__}: {error}") from error


@cache
def _opened(case: BenchmarkCase, protocol: Protocol, images: tuple[Path, ...]) -> tuple[Runner, dict[str, Call]]:
    """Load the artifact, once in each process, and warm it up."""
    runner = open_artifact(case.path, protocol.threads, case.runtime)
    calls = calls_at_boundaries(runner, images, case.shape.batch, case.resizing)
    warm_up(calls["image_to_labels"], protocol)
    return runner, calls


def open_case(case: BenchmarkCase, protocol: Protocol, images: tuple[Path, ...]) -> Ready:
    try:
        return Ready(_opened(case, protocol, images)[0].provider, "")
    except NotAvailable as error:
        return Ready("", str(error))


def time_nodes(case: BenchmarkCase, protocol: Protocol, images: tuple[Path, ...]) -> list[Any]:
    """Time the nodes of an ONNX file in ONNX Runtime; return one NodeTime for each."""
    from pipeline.measure.nodes import node_times  # a process that measures PyTorch must not load ONNX Runtime

    image = case.resizing.apply(read_image(images[0]))
    return node_times(case.path, protocol.threads, np.stack([image] * case.shape.batch), NODE_CALLS)


def time_boundaries(case: BenchmarkCase, protocol: Protocol, images: tuple[Path, ...]) -> Round:
    """Time one round of calls at each boundary."""
    _, calls = _opened(case, protocol, images)
    settled = time.perf_counter() + SETTLE_S
    while time.perf_counter() < settled:
        calls["image_to_labels"](0)
    seconds = {}
    for boundary, call in calls.items():
        for i in range(SETTLE_CALLS):
            call(i)
        seconds[boundary] = time_round(call, protocol)
    return Round(seconds, round(peak_memory_bytes() / 2**20, 1))


def calls_at_boundaries(runner: Runner, images: Sequence[Path], batch_size: int, resizing: Resizing) -> dict[str, Call]:
    """Return a call for each boundary, from the narrowest to the widest. The calls repeat the images in order.

    `device_compute`: from images in the device's memory to labels there. `with_copies`: from an array of the graph's
    size on the host to labels on the host. `image_to_labels`: from decoded images of their own sizes to labels of these
    sizes. `file_to_labels`: as `image_to_labels`, but from image files.
    """
    decoded = [read_image(path) for path in images]

    def batch(call: int, read: Callable[[int], np.ndarray]) -> list[np.ndarray]:
        return [read((call * batch_size + k) % len(images)) for k in range(batch_size)]

    ready = [np.stack([*map(resizing.apply, batch(i, decoded.__getitem__))]) for i in range(len(images))]
    prepared = runner.prepared(ready[0])
    return {
        "device_compute": lambda _: prepared(),
        "with_copies": lambda i: runner.run(ready[i % len(ready)]),
        "image_to_labels": lambda i: resizing.segment(runner.run, batch(i, decoded.__getitem__)),
        "file_to_labels": lambda i: resizing.segment(runner.run, batch(i, lambda j: read_image(images[j]))),
    }
