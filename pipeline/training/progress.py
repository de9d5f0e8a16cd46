"""Progress of a training: a line every few seconds, the same in a terminal and in a log."""

import time
from collections.abc import Callable

SECONDS_BETWEEN_LINES = 15.0


class TrainingProgress:
    """Prints loss terms, iterations per second and the time that is left."""

    def __init__(
        self, name: str, start: int, iterations: int, shown: bool, clock: Callable[[], float] = time.monotonic
    ):
        self.name, self.start, self.iterations, self.shown, self.clock = name, start, iterations, shown, clock
        self.begun = self.last_line = self.lap_begun = clock()
        self.lap_start = start
        if shown and 0 < start < iterations:
            print(f"{name}: resuming at iteration {start} of {iterations}", flush=True)

    def lap_rate(self, iteration: int) -> float:
        """Return the iterations per second since the last call, so that a pause of the machine affects one value."""
        now = self.clock()
        rate = (iteration - self.lap_start) / max(now - self.lap_begun, 1e-9)
        self.lap_begun, self.lap_start = now, iteration
        return rate

    def show(self, iteration: int, terms: dict[str, float]) -> None:
        """Print a line for `iteration` finished iterations, if the last line is old enough or all are done."""
        now = self.clock()
        if self.shown and (now - self.last_line >= SECONDS_BETWEEN_LINES or iteration == self.iterations):
            rate = max((iteration - self.start) / max(now - self.begun, 1e-9), 1e-9)  # since this process began
            left = f"{(self.iterations - iteration) / rate / 60:.1f} min left"
            text = "  ".join(f"{name} {value:.4f}" for name, value in terms.items())
            print(f"{self.name}: {iteration}/{self.iterations}  {rate:.2f} it/s  {left}  {text}", flush=True)
            self.last_line = now
