"""Rows of the page's deployment chapter: decisions, engines, latencies, machines, and the Pareto front."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from pipeline.records.artifacts import Artifact, Engine
from pipeline.records.benchmark import BOUNDARIES, EAGER, IMAGE_TO_LABELS, Measurement
from pipeline.records.release import Decision
from pipeline.reporting.inputs import Inputs, Run
from segdistill_runtime.precision_choice import PRECISIONS
from segdistill_runtime.targets.target import load_target

LOAD = "load_average_before"
"""The one entry of a machine's record that differs between runs on the same machine."""

Machine = dict[str, bool | str | int | float | None]


class DecisionRow(NamedTuple):
    """A decision with the file that it is about."""

    decision: Decision
    artifact: Artifact
    is_fastest: bool  # of the run
    is_noisy: bool  # its latency varied too much
    also: list[str]  # further precisions that are undecided for the same reason


class EngineRow(NamedTuple):
    """One engine; `note` is the number of its reason, None without one."""

    engine: Engine
    note: int | None


class LatencyRow(NamedTuple):
    """One artifact on one runtime, at all boundaries that were measured."""

    runtime: str
    precision: str
    other_shape: tuple[int, int, int] | None  # batch, height, width; None for that of the released graphs
    at: dict[str, Measurement]  # by boundary, from the narrowest to the widest
    times_eager: float | None


class ParetoPoint(NamedTuple):
    """A file of a run by speed and accuracy."""

    run: str
    precision: str
    latency_ms: float
    miou: float  # 0..1
    is_baseline: bool
    released: bool


def decision_rows(run: Run) -> list[DecisionRow]:
    """Return a row for each decision of the release; undecided ones of one runtime and reason share a row."""
    fastest = run.shipping[0] if run.shipping else None
    rows: list[DecisionRow] = []
    for decision in run.decisions:
        last = rows[-1].decision if rows else decision
        alike = (decision.runtime, decision.reason, last.verdict) == (last.runtime, last.reason, "undecided")
        if rows and alike and decision.verdict == "undecided":
            rows[-1].also.append(decision.precision)
        else:
            artifact = run.of_runtime[decision.file, decision.runtime]
            rows.append(DecisionRow(decision, artifact, decision is fastest, run.is_noisy(decision), []))
    return rows


def engine_rows(runs: Sequence[Run]) -> tuple[dict[str, list[EngineRow]], list[str]]:
    """Return engines by run, and the distinct reasons why engines were not built or run: most share one."""
    reasons = list(dict.fromkeys(engine.reason for run in runs for engine in run.engines.engines if engine.reason))
    numbers: dict[str, int] = {reason: number for number, reason in enumerate(reasons, start=1)}
    return {run.name: [EngineRow(e, numbers.get(e.reason)) for e in run.engines.engines] for run in runs}, reasons


def latency_rows(run: Run) -> list[LatencyRow]:
    """Return a row for each artifact and runtime that was measured."""
    groups: dict[tuple[object, ...], dict[str, Measurement]] = {}
    for entry in run.benchmark.measurements:
        if entry.status == "measured":
            groups.setdefault((entry.runtime, entry.precision, entry.file, entry.shape), {})[entry.boundary] = entry
    rows = []
    for measured in groups.values():
        first = next(iter(measured.values()))
        whole = measured.get(IMAGE_TO_LABELS)
        times = run.benchmark.times_eager(first.runtime, whole.p50_ms if whole else None, first.shape)
        other_shape = None if first.shape == run.shape else first.shape
        at = {boundary: measured[boundary] for boundary in BOUNDARIES if boundary in measured}
        rows.append(
            LatencyRow(first.runtime, first.precision, other_shape, at, None if first.runtime == EAGER else times)
        )
    return rows


def machines(inputs: Inputs) -> list[tuple[list[str], Machine]]:
    """Return the machines that measured latency with their runs; latencies of different machines do not compare."""
    found: list[tuple[list[str], Machine]] = []
    for run in inputs.runs.values():
        machine = {key: value for key, value in run.benchmark.machine.items() if key != LOAD}
        known = next((names for names, other in found if other == machine), None)
        if known is None:
            found.append(([run.name], machine))
        else:
            known.append(run.name)
    return found


def pareto_points(runs: Iterable[Run]) -> list[ParetoPoint]:
    """Return the fastest CPU file of each precision that ships; a rejected run has those that would have shipped."""
    found = []
    for run in runs:
        timed = [
            d for d in run.decisions if d.verdict == "ships" and load_target(d.runtime).device == "cpu" and d.p50_ms
        ]
        for precision in PRECISIONS:
            latencies = [(d.p50_ms or 0.0, d.miou) for d in timed if d.precision == precision]
            if latencies:
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
