"""What the page's deployment chapter says: rows of its tables, reasons as numbered notes, machines that compare."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from pipeline.reporting.comparison import Spot, pareto_front
from pipeline.reporting.deployed import (
    BOUNDARIES,
    CPU_RUNTIMES,
    EAGER,
    IMAGE_TO_LABELS,
    PRECISIONS,
    Artifact,
    Decision,
    Engine,
    Measurement,
)
from pipeline.reporting.layer_costs import JudgedLayers
from pipeline.reporting.material import Material, Run

LOAD = "load_average_before"
"""The one entry of a machine's record that tells runs apart which were timed on the same machine."""

Machine = dict[str, bool | str | int | float | None]


class DecisionRow(NamedTuple):
    """A decision with the file that it is about."""

    decision: Decision
    artifact: Artifact
    is_fastest: bool  # of the run
    is_noisy: bool  # its time varies too much
    also: list[str]  # further precisions that nothing is known about for the same reason


class EngineRow(NamedTuple):
    """One engine; `note` is the number of its reason, None without one."""

    engine: Engine
    note: int | None


class LatencyRow(NamedTuple):
    """One artifact on one runtime, at all boundaries that were measured."""

    runtime: str
    precision: str
    other_shape: tuple[int, int, int] | None  # batch, height, width; None for that of the graphs that ship
    at: dict[str, Measurement]  # by boundary, from the narrowest to the widest
    times_eager: float | None


class NotRun(NamedTuple):
    """What could not be measured, for one reason."""

    reason: str
    precisions: dict[str, list[str]]  # by runtime


class FileRow(NamedTuple):
    file: str
    runtimes: list[str]  # that it is made for
    bytes: int
    sha256: str


class FrontRow(NamedTuple):
    """A file that no other one beats in both speed and quality, against the most accurate of them."""

    spot: Spot
    points_below: float  # of mIoU
    times_as_fast: float


def file_rows(run: Run) -> list[FileRow]:
    """Each file once: it has a record for every runtime that was asked for its labels."""
    rows: dict[str, FileRow] = {}
    for artifact in run.artifacts:
        row = rows.setdefault(artifact.file, FileRow(artifact.file, [], artifact.bytes, artifact.sha256))
        row.runtimes.extend(artifact.runtimes)
    return list(rows.values())


def decision_rows(run: Run) -> list[DecisionRow]:
    """In the order of the release."""
    fastest = run.shipping[0] if run.shipping else None
    rows: list[DecisionRow] = []
    for decision in run.decisions:
        last = rows[-1].decision if rows else None
        if last and _unknown_alike(decision, last):
            rows[-1].also.append(decision.precision)
        else:
            artifact = run.of_runtime[decision.file, decision.runtime]
            rows.append(DecisionRow(decision, artifact, decision is fastest, run.is_noisy(decision), []))
    return rows


def _unknown_alike(one: Decision, other: Decision) -> bool:
    alike = (one.runtime, one.verdict, one.reason) == (other.runtime, other.verdict, other.reason)
    return alike and one.verdict == "undecided"


def engine_rows(runs: Sequence[Run]) -> tuple[dict[str, list[EngineRow]], list[str]]:
    """Engines by run, and their different reasons: most engines of a machine share one, so each is told once."""
    reasons: list[str] = []
    rows: dict[str, list[EngineRow]] = {run.name: [] for run in runs}
    for run in runs:
        for engine in run.engines.engines:
            if engine.reason and engine.reason not in reasons:
                reasons.append(engine.reason)
            rows[run.name].append(EngineRow(engine, reasons.index(engine.reason) + 1 if engine.reason else None))
    return rows, reasons


def latency_rows(run: Run) -> list[LatencyRow]:
    """What was measured, in the order of the stage."""
    groups: dict[tuple[object, ...], dict[str, Measurement]] = {}
    for entry in run.profile.measurements:
        if entry.status == "measured":
            groups.setdefault((entry.runtime, entry.precision, entry.file, entry.shape), {})[entry.boundary] = entry
    rows = []
    for measured in groups.values():
        first = next(iter(measured.values()))
        whole = measured.get(IMAGE_TO_LABELS)
        times = run.profile.times_eager(first.runtime, whole.p50_ms if whole else None, first.shape)
        rows.append(
            LatencyRow(
                first.runtime,
                first.precision,
                None if first.shape == run.shape else first.shape,
                {boundary: measured[boundary] for boundary in BOUNDARIES if boundary in measured},
                None if first.runtime == EAGER else times,
            )
        )
    return rows


def not_run(run: Run) -> list[NotRun]:
    """What could not be measured, by reason."""
    found: dict[str, dict[str, list[str]]] = {}
    for entry in run.profile.measurements:
        if entry.status == "not run":
            found.setdefault(entry.reason, {}).setdefault(entry.runtime, []).append(entry.precision)
    return [NotRun(reason, precisions) for reason, precisions in found.items()]


def machines(material: Material) -> list[tuple[list[str], Machine]]:
    """The machines that measured latency, each with its runs; more than one means that latencies do not compare."""
    found: list[tuple[list[str], Machine]] = []
    for run in material.runs.values():
        of_run = {key: value for key, value in run.profile.machine.items() if key != LOAD}
        for names, machine in found:
            if machine == of_run:
                names.append(run.name)
                break
        else:
            found.append(([run.name], of_run))
    return found


def loads(material: Material) -> dict[str, float]:
    """How many processes wanted a core before each run was timed, where that was recorded."""
    found = {name: run.profile.machine.get(LOAD) for name, run in material.runs.items()}
    return {name: float(load) for name, load in found.items() if isinstance(load, int | float)}


def spots(runs: Iterable[Run], colors: Mapping[str, str]) -> list[Spot]:
    """For the chart of quality against latency: the fastest file of each precision that ships on the CPU.

    Runs that were rejected are there with what would have shipped.
    """
    found = []
    for run in runs:
        timed = [d for d in run.decisions if d.verdict == "ships" and d.runtime in CPU_RUNTIMES and d.p50_ms]
        for precision in PRECISIONS:
            latencies = [(d.p50_ms or 0.0, d.miou) for d in timed if d.precision == precision]
            if latencies:
                released = run.release.status == "released"
                place = min(latencies)
                found.append(Spot(run.name, precision, *place, colors[run.name], run.is_baseline, released))
    return found


def front_rows(spots: Sequence[Spot]) -> list[FrontRow]:
    """From the most accurate file to the fastest."""
    front = pareto_front(spots)[::-1]
    return [FrontRow(s, 100 * (front[0].miou - s.miou), front[0].latency_ms / s.latency_ms) for s in front]


def judged_layers(run: Run, color: str) -> JudgedLayers:
    """For the chart of what int8 costs layer by layer."""
    quantization = run.quantization
    kept = {layer for choice in quantization.choices.values() for layer in choice.float_layers}
    return JudgedLayers([(layer.name, layer.lost_points) for layer in quantization.layers], kept, color)
