"""Rows of the page's deployment chapter: decisions, latencies, machines, and the Pareto front."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import NamedTuple

from pipeline.records.benchmark import EAGER, IMAGE_TO_LABELS, Measurement
from pipeline.records.release import Decision
from pipeline.reporting.inputs import Run
from segdistill_runtime.precision_choice import PRECISIONS
from segdistill_runtime.targets.target import load_target

Machine = tuple[tuple[str, bool | str | int | float | None], ...]


class ParetoPoint(NamedTuple):
    """The speed and the accuracy of one file of a run."""

    run: str
    precision: str
    latency_ms: float
    miou: float  # 0..1
    is_baseline: bool
    released: bool


def decision_rows(run: Run) -> list[list[Decision]]:
    """Group decisions into rows: undecided ones of one runtime and reason share a row, others have their own."""

    def same_row(decision: Decision) -> object:
        return (decision.runtime, decision.reason) if decision.verdict == "undecided" else decision

    return [list(alike) for _, alike in groupby(run.decisions, same_row)]


def latency_rows(run: Run) -> list[tuple[dict[str, Measurement], float | None]]:
    """Return the measurements by boundary and the speed-up over PyTorch eager, for each artifact on each runtime."""
    rows: dict[tuple[object, ...], dict[str, Measurement]] = {}
    for entry in run.benchmark.measurements:
        if entry.status == "measured":
            rows.setdefault((entry.runtime, entry.precision, entry.file, entry.shape), {})[entry.boundary] = entry
    found = []
    for at in rows.values():
        whole = at.get(IMAGE_TO_LABELS)
        compared = whole if whole and whole.runtime != EAGER else None
        times = compared and run.benchmark.times_eager(compared.runtime, compared.p50_ms, compared.shape)
        found.append((at, times))
    return found


def machines(runs: Iterable[Run]) -> dict[Machine, list[str]]:
    """Return the runs of each machine that measured latency; do not compare latencies of different machines."""
    found: dict[Machine, list[str]] = {}
    for run in runs:
        # Only the load differs between runs on the same machine.
        machine = tuple(entry for entry in run.benchmark.machine.items() if entry[0] != "load_average_before")
        found.setdefault(machine, []).append(run.name)
    return found


def pareto_points(runs: Iterable[Run]) -> list[ParetoPoint]:
    """Return the fastest released CPU file of each precision; for a rejected run, the files that are held back."""
    found = []
    for run in runs:
        timed = [
            d for d in run.decisions if d.verdict == "accepted" and load_target(d.runtime).device == "cpu" and d.p50_ms
        ]
        for precision in PRECISIONS:
            if latencies := [(d.p50_ms or 0.0, d.miou) for d in timed if d.precision == precision]:
                released = run.release.status == "released"
                found.append(ParetoPoint(run.name, precision, *min(latencies), run.is_baseline, released))
    return found


def pareto_front(files: Sequence[ParetoPoint]) -> list[ParetoPoint]:
    """Return the released files that no other file beats in both latency and mIoU, fastest first."""
    front: list[ParetoPoint] = []
    for file in sorted((f for f in files if f.released), key=lambda f: (f.latency_ms, -f.miou)):
        if not front or file.miou > front[-1].miou:
            front.append(file)
    return front
