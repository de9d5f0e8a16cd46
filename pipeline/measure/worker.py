"""A process that holds one artifact on one runtime, and times it when it is told to.

Two sessions in one process keep threads spinning on the same cores and slow each other down. Processes do not, as long
as only one of them works at a time.
"""

import multiprocessing
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from models.errors import ModelError
from pipeline.data.images import read_image
from pipeline.errors import SegdistillError
from pipeline.measure.cases import BenchmarkCase
from pipeline.measure.latency import time_round, warm_up
from pipeline.measure.machine import peak_memory_bytes
from pipeline.records.benchmark import Protocol
from pipeline.runtime.artifacts import open_artifact
from segdistill_runtime.errors import NotAvailable, Refused
from segdistill_runtime.images import resize
from segdistill_runtime.runner import InputShape, Runner

TIME_ROUND, TIME_NODES = "time a round", "time the nodes"
"""What a worker can be told."""

NODE_CALLS = 30
SETTLE_S = 0.2
"""Untimed calls at the beginning of a turn: the threads of whoever came before go on spinning for so long."""
SETTLE_CALLS = 2
"""The same before each boundary."""

Call = Callable[[int], object]
"""The i-th call; each takes the next images."""


class BenchmarkError(SegdistillError):
    """A measurement that ended without a result."""


class Ready(NamedTuple):
    provider: str  # the device, or the execution provider, that computes
    unavailable: str  # why nothing can be measured; else empty


class Round(NamedTuple):
    seconds: dict[str, list[float]]  # of the single calls, by boundary
    peak_memory_mb: float  # of the process so far


class Worker:
    """Starts at once; `ready` waits until the artifact is loaded and warm."""

    def __init__(self, case: BenchmarkCase, protocol: Protocol, threads: int, images: list[Path]):
        self.case = case
        context = multiprocessing.get_context("spawn")
        self.connection, other = context.Pipe()
        self.process = context.Process(target=_work, args=(other, case, protocol, threads, images), daemon=True)
        self.process.start()
        other.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.connection.close()  # which the process reads as: go
        self.process.join(timeout=10)
        self.process.kill()
        self.process.join()

    def ready(self) -> Ready:
        """Wait for it.

        Raises:
            BenchmarkError: the artifact is damaged, or the process died.
        """
        return self.ask(None)

    def ask(self, order: str | None) -> Any:
        """Give an order; TIME_ROUND gives a Round, TIME_NODES the times of an ONNX file's nodes in ONNX Runtime."""
        try:
            if order is not None:
                self.connection.send(order)
            answer = self.connection.recv()
        except (EOFError, OSError) as error:  # the other end is gone
            self.process.join()
            raise BenchmarkError(
                f"measuring {self.case.path} on {self.case.runtime} ended with exit status {self.process.exitcode} "
                f"and without a result; its own message stands above (-9 means that the machine ran out of memory)"
            ) from error
        if isinstance(answer, str):
            raise BenchmarkError(f"{self.case.path} cannot be measured on {self.case.runtime}: {answer}")
        return answer


def _work(connection: Connection, case: BenchmarkCase, protocol: Protocol, threads: int, images: list[Path]) -> None:
    """Do what the process is for: answers are a Ready, then what was ordered; a text is the message of an error."""
    ready = False
    try:
        with open_artifact(case.path, threads, case.runtime) as runner:
            calls = calls_at_boundaries(runner, images, case.shape)
            warm_up(calls["image_to_labels"], protocol)
            connection.send(Ready(runner.provider, ""))
            ready = True
            while True:
                order = connection.recv()
                done = _time_boundaries(calls, protocol) if order == TIME_ROUND else _time_nodes(case, threads, images)
                connection.send(done)
    except EOFError:  # there will be no further order
        return
    except NotAvailable as error:
        connection.send(str(error) if ready else Ready("", str(error)))
    except (SegdistillError, ModelError, Refused) as error:
        connection.send(f"{type(error).__name__}: {error}")


def _time_nodes(case: BenchmarkCase, threads: int, images: list[Path]) -> object:
    from pipeline.measure.nodes import node_times  # a process that measures PyTorch must not carry ONNX Runtime

    return node_times(case.path, threads, batch_of([read_image(images[0])] * case.shape.batch, case.shape), NODE_CALLS)


def _time_boundaries(calls: dict[str, Call], protocol: Protocol) -> Round:
    settled = time.perf_counter() + SETTLE_S
    while time.perf_counter() < settled:
        calls["image_to_labels"](0)
    seconds = {}
    for boundary, call in calls.items():
        for i in range(SETTLE_CALLS):
            call(i)
        seconds[boundary] = time_round(call, protocol)
    return Round(seconds, round(peak_memory_bytes() / 2**20, 1))


def calls_at_boundaries(runner: Runner, images: list[Path], shape: InputShape) -> dict[str, Call]:
    """Return a call for each boundary, from the narrowest to the widest.

    `device_compute`: the image lies where the device reads it, and the labels stay there. `with_copies`: from an array
    of the graph's size on the host to labels on the host. `image_to_labels`: from decoded images of their own sizes.
    `file_to_labels`: from files.
    """
    decoded = [read_image(path) for path in images]

    def turn(call: int) -> list[int]:
        """Return the images of one call, over and over again in their order."""
        return [(call * shape.batch + k) % len(images) for k in range(shape.batch)]

    ready = [batch_of([decoded[j] for j in turn(i)], shape) for i in range(len(images))]
    prepared = runner.prepared(ready[0])
    return {
        "device_compute": lambda _: prepared(),
        "with_copies": lambda i: runner.run(ready[i % len(ready)]),
        "image_to_labels": lambda i: runner.run(batch_of([decoded[j] for j in turn(i)], shape)),
        "file_to_labels": lambda i: runner.run(batch_of([read_image(images[j]) for j in turn(i)], shape)),
    }


def batch_of(images: list[np.ndarray], shape: InputShape) -> np.ndarray:
    """Stack images to uint8 (n, H, W, 3); one of the right size is not resized."""
    return np.stack([resize(image, shape.height, shape.width) for image in images])
