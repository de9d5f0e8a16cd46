"""What a person sees while a network trains: a bar in a terminal, a plain line now and then in a log."""

import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

SECONDS_BETWEEN_LINES = 15.0


class TrainingProgress(AbstractContextManager["TrainingProgress"]):
    """Shows loss terms, iterations per second and the time that is left.

    A bar in a log file is silence for hours, so where stderr is no terminal it prints one line every few seconds.
    """

    def __init__(
        self, name: str, start: int, iterations: int, shown: bool, clock: Callable[[], float] = time.monotonic
    ):
        self.name = name
        self.start = start
        self.iterations = iterations
        self.clock = clock
        self.begun = self.last_line = clock()
        self.lap_begun, self.lap_start = self.begun, start
        self.shown = shown
        self.interactive = shown and sys.stderr.isatty()
        self.bar = Progress(
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"),
            TextColumn("{task.fields[rate]:.2f} it/s"), TimeRemainingColumn(), TextColumn("{task.fields[terms]}"),
            console=Console(stderr=True), disable=not self.interactive,
        )  # fmt: skip
        self.task = self.bar.add_task(name, total=iterations, completed=start, rate=0.0, terms="")

    def __enter__(self) -> "TrainingProgress":
        self.bar.start()
        if self.shown and 0 < self.start < self.iterations:
            self.bar.console.print(f"{self.name}: resuming at iteration {self.start} of {self.iterations}")
        return self

    def __exit__(self, *_error: object) -> None:
        self.bar.stop()

    def rate(self, iteration: int) -> float:
        """Iterations per second since this process began."""
        return (iteration - self.start) / max(self.clock() - self.begun, 1e-9)

    def lap_rate(self, iteration: int) -> float:
        """Iterations per second since the last call: one pause of the machine does not spoil it for the whole run."""
        now = self.clock()
        rate = (iteration - self.lap_start) / max(now - self.lap_begun, 1e-9)
        self.lap_begun, self.lap_start = now, iteration
        return rate

    def show(self, iteration: int, terms: dict[str, float]) -> None:
        """Tell that `iteration` iterations are done."""
        rate = self.rate(iteration)
        text = "  ".join(f"{name} {value:.4f}" for name, value in terms.items())
        self.bar.update(self.task, completed=iteration, rate=rate, terms=text)
        due = self.clock() - self.last_line >= SECONDS_BETWEEN_LINES or iteration == self.iterations
        if self.shown and not self.interactive and due:
            left = (self.iterations - iteration) / max(rate, 1e-9) / 60
            done = f"{self.name}: {iteration}/{self.iterations}"
            print(f"{done}  {rate:.2f} it/s  {left:.1f} min left  {text}", flush=True)
            self.last_line = self.clock()
