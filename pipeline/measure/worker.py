"""A process that holds one artifact on one runtime, and times it when it is told to.

Two sessions in one process keep threads spinning on the same cores and slow each other down. Processes do not, as long
as only one of them works at a time.
"""

import multiprocessing
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple, Self

from models.errors import ModelError
from pipeline.data.images import read_image
from pipeline.errors import SegdistillError
from pipeline.measure.latency import Protocol, time_round, warm_up
from pipeline.measure.machine import peak_memory_bytes
from pipeline.measure.targets import Target
from pipeline.measure.timed_calls import Call, batch_of, calls_at_boundaries
from pipeline.runtime import RunnerUnavailable, open_runner
from pipeline.runtime.nodes import NodeTime

TIME_ROUND, TIME_NODES = "time a round", "time the nodes"
"""What a worker can be told."""

NODE_CALLS = 30
SETTLE_S = 0.2
"""Untimed calls at the beginning of a turn: the threads of whoever came before go on spinning for so long."""
SETTLE_CALLS = 2
"""The same before each boundary."""


class ProfileError(SegdistillError):
    """A measurement that ended without a result."""


class Ready(NamedTuple):
    provider: str  # the device, or the execution provider, that computes
    unavailable: str  # why nothing can be measured; else empty


class Round(NamedTuple):
    seconds: dict[str, list[float]]  # of the single calls, by boundary
    peak_memory_mb: float  # of the process so far


class Worker:
    """Starts at once; `ready` waits until the artifact is loaded and warm."""

    def __init__(self, target: Target, protocol: Protocol, threads: int, images: list[Path]):
        self.target = target
        context = multiprocessing.get_context("spawn")
        self.connection, other = context.Pipe()
        self.process = context.Process(target=_work, args=(other, target, protocol, threads, images), daemon=True)
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
            ProfileError: the artifact is damaged, or the process died.
        """
        return self._answer(None)

    def time_round(self) -> Round:
        """Time every boundary for one round."""
        return self._answer(TIME_ROUND)

    def time_nodes(self) -> list[NodeTime]:
        """Time the nodes of an ONNX file in ONNX Runtime, in the order in which they run."""
        return self._answer(TIME_NODES)

    def _answer(self, order: str | None) -> Any:
        try:
            if order is not None:
                self.connection.send(order)
            answer = self.connection.recv()
        except (EOFError, OSError) as error:  # the other end is gone
            self.process.join()
            raise ProfileError(
                f"measuring {self.target.path} on {self.target.runtime} ended with exit status {self.process.exitcode} "
                f"and without a result; its own message stands above (-9 means that the machine ran out of memory)"
            ) from error
        if isinstance(answer, str):
            raise ProfileError(f"{self.target.path} cannot be measured on {self.target.runtime}: {answer}")
        return answer


def _work(connection: Connection, target: Target, protocol: Protocol, threads: int, images: list[Path]) -> None:
    """What the process does: answers are a Ready, then what was ordered; a text is the message of an error."""
    ready = False
    try:
        with open_runner(target.path, threads, target.runtime) as runner:
            calls = calls_at_boundaries(runner, images, target.shape)
            warm_up(calls["image_to_labels"], protocol)
            connection.send(Ready(runner.provider, ""))
            ready = True
            for order in _orders(connection):
                if order == TIME_ROUND:
                    connection.send(_time_boundaries(calls, protocol))
                else:
                    connection.send(_time_nodes(target, threads, images[0]))
    except RunnerUnavailable as error:
        connection.send(str(error) if ready else Ready("", str(error)))
    except (SegdistillError, ModelError) as error:
        connection.send(f"{type(error).__name__}: {error}")


def _orders(connection: Connection) -> Iterator[str]:
    """Wait for each order until there will be none."""
    while True:
        try:
            yield connection.recv()
        except EOFError:
            return


def _time_nodes(target: Target, threads: int, image: Path) -> list[NodeTime]:
    from pipeline.runtime.onnx_runner import node_times  # a process that measures PyTorch must not carry it

    batch = batch_of([read_image(image)] * target.shape.batch, target.shape)
    return node_times(target.path, threads, batch, NODE_CALLS)


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
