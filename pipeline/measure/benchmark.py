"""Measure the latency of every artifact of a run on every runtime, side by side on this machine."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from pipeline.data.samples import read_samples
from pipeline.measure.cases import BenchmarkCase, find_cases
from pipeline.measure.latency import summarize
from pipeline.measure.machine import load_average, machine_record
from pipeline.measure.nodes import NodeTime, postprocessing
from pipeline.measure.worker import TIME_NODES, TIME_ROUND, Ready, Round, Worker
from pipeline.params.deployment import BenchmarkParams, ShapeParams
from pipeline.records.benchmark import IMAGE_TO_LABELS, Benchmark, Latency, Measurement, Postprocessing, Protocol
from pipeline.records.files import write_record
from segdistill_runtime.runner import InputShape


def benchmark_run(
    name: str,
    benchmark: BenchmarkParams,
    size: tuple[int, int],
    other_shapes: Sequence[ShapeParams],
    split: str,
    samples: Path,
    metrics: Path,
    **files: Path,
) -> None:
    """Measure all artifacts of a run on the runtimes of `benchmark`, as `benchmark_cases` does.

    Args:
        size: (H, W) of the graphs that ship.
        other_shapes: of further fp32 graphs.
        files: of `find_cases`.
    """
    cases = find_cases(InputShape(1, *size), other_shapes, benchmark.runtimes, **files)
    benchmark_cases(name, benchmark, split, cases, samples, metrics)


def benchmark_cases(
    name: str, benchmark: BenchmarkParams, split: str, cases: Sequence[BenchmarkCase], samples: Path, metrics: Path
) -> None:
    """Measure every case at every boundary on real images and write the records as `metrics`.

    Each case has a process of its own. They take turns: one round of all of them, then the next. One that cannot run
    on this machine is recorded as not run, with the reason.

    Raises:
        BenchmarkError: an artifact is damaged, or a process died.
    """
    images = [sample.image for sample in read_samples(samples, split)[: benchmark.images]]
    durations = ("warmup_calls", "warmup_s", "calls", "min_s", "max_s", "rounds", "noisy_above", "threads")
    asked = {name: getattr(benchmark, name) for name in durations}
    protocol = Protocol(**asked, split=split, images=len(images))
    machine = {**machine_record(), "load_average_before": load_average()}
    with ExitStack() as stack:
        workers = {
            case: stack.enter_context(Worker(case, protocol, benchmark.threads, images))
            for case in cases
            if not case.missing
        }
        ready = {case: worker.ready() for case, worker in workers.items()}
        able = {case: workers[case] for case in workers if not ready[case].unavailable}
        rounds: dict[BenchmarkCase, list[Round]] = {case: [] for case in able}
        for _ in range(protocol.rounds):
            for case, worker in able.items():
                rounds[case].append(worker.ask(TIME_ROUND))
        shares = [
            share
            for t, worker in able.items()
            if t.runtime == "onnxruntime" and t.shape == cases[0].shape
            for share in _postprocessing(name, t, worker.ask(TIME_NODES))
        ]
    measurements = []
    for case in cases:
        found = _measurements(case, ready.get(case, Ready("", case.missing)), rounds.get(case, []), protocol)
        measurements.extend(found)
        for measurement in found:
            print(f"{name} {_in_words(measurement)}", flush=True)
    record = Benchmark(run=name, protocol=protocol, machine=machine, postprocessing=shares, measurements=measurements)
    write_record(metrics, record)


def _postprocessing(name: str, case: BenchmarkCase, nodes: Sequence[NodeTime]) -> list[Postprocessing]:
    """Return one record; none, with a message, where the nodes' times are of no use."""
    share = postprocessing(nodes, case.precision, case.path.name)
    if share is None:
        print(f"{name} {case.path.name}: post-processing was not timed: the clock was set back meanwhile", flush=True)
    return [share] if share else []


def _measurements(case: BenchmarkCase, ready: Ready, rounds: Sequence[Round], protocol: Protocol) -> list[Measurement]:
    """Return one record for each boundary, over the calls of all rounds; a single one if nothing was measured."""

    def measurement(boundary: str, latency: Latency) -> Measurement:
        return Measurement(
            runtime=case.runtime,
            precision=case.precision,
            file="" if case.missing else case.path.name,
            **case.shape._asdict(),
            provider=ready.provider,
            threads=protocol.threads,
            boundary=boundary,
            status="measured" if rounds else "not run",
            reason=ready.unavailable,
            **vars(latency),
        )

    if not rounds:
        return [measurement(IMAGE_TO_LABELS, Latency())]
    memory = rounds[-1].peak_memory_mb
    return [
        measurement(
            boundary,
            summarize([timed.seconds[boundary] for timed in rounds], case.shape.batch, protocol.noisy_above, memory),
        )
        for boundary in rounds[0].seconds
    ]


def _in_words(entry: Measurement) -> str:
    what = f"{entry.runtime} {entry.precision} {entry.file} {entry.boundary}"
    if entry.status != "measured":
        return f"{what}: not run: {entry.reason}"
    return f"{what}: p50 {entry.p50_ms:.2f} ms over {entry.calls} calls{', noisy' if entry.noisy else ''}"
