"""Measure the latency of every artifact of a run on every runtime, side by side on this machine."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from pipeline.data.samples import read_samples
from pipeline.measure.cases import BenchmarkCase, find_cases
from pipeline.measure.latency import summarize
from pipeline.measure.machine import load_average, machine_record
from pipeline.measure.nodes import postprocessing
from pipeline.measure.worker import Ready, Round, Worker, open_case, time_boundaries, time_nodes
from pipeline.params.deployment import BenchmarkParams, ShapeParams
from pipeline.records.benchmark import IMAGE_TO_LABELS, Benchmark, Latency, Measurement, Protocol
from pipeline.records.files import write_record
from segdistill_runtime.images import Resizing
from segdistill_runtime.runner import InputShape


def benchmark_run(
    name: str,
    benchmark: BenchmarkParams,
    resizing: Resizing,
    other_shapes: Sequence[ShapeParams],
    split: str,
    samples: Path,
    metrics: Path,
    **files: Path,
) -> None:
    """Measure all artifacts of a run on the runtimes of `benchmark`, as `benchmark_cases` does.

    Args:
        resizing: resizing of the released graphs.
        other_shapes: input shapes of further fp32 graphs.
        files: the paths that `find_cases` takes.
    """
    cases = find_cases(InputShape(1, *resizing.size), resizing.mode, other_shapes, benchmark.runtimes, **files)
    benchmark_cases(name, benchmark, split, cases, samples, metrics)


def benchmark_cases(
    name: str, benchmark: BenchmarkParams, split: str, cases: Sequence[BenchmarkCase], samples: Path, metrics: Path
) -> None:
    """Measure every case at every boundary on real images and write the records as `metrics`.

    Each case has its own process. The processes take turns: one round of all cases, then the next round. A case that
    cannot run on this machine is recorded as not run, with the reason.

    Raises:
        BenchmarkError: an artifact is damaged, or a process died.
    """
    images = [sample.image for sample in read_samples(samples, split)[: benchmark.images]]
    asked = {name: value for name, value in vars(benchmark).items() if name not in ("runtimes", "images")}
    protocol = Protocol(**asked, split=split, images=len(images))
    machine = {**machine_record(), "load_average_before": load_average()}
    with ExitStack() as stack:
        workers = {case: stack.enter_context(Worker(case, protocol, images)) for case in cases if not case.missing}
        ready = {case: worker.ask(open_case) for case, worker in workers.items()}
        able = {case: worker for case, worker in workers.items() if not ready[case].unavailable}
        rounds: dict[BenchmarkCase, list[Round]] = {case: [] for case in able}
        for _ in range(protocol.rounds):
            for case, worker in able.items():
                rounds[case].append(worker.ask(time_boundaries))
        shares = []
        for case, worker in able.items():
            if case.runtime == "onnxruntime" and case.shape == cases[0].shape:
                share = postprocessing(worker.ask(time_nodes), case.precision, case.path.name)
                if share is None:
                    print(f"{name} {case.path.name}: post-processing not timed: the clock was set back", flush=True)
                else:
                    shares.append(share)
    measurements = [
        measurement
        for case in cases
        for measurement in _measurements(case, ready.get(case, Ready("", case.missing)), rounds.get(case, []), protocol)
    ]
    for measurement in measurements:
        print(f"{name} {_in_words(measurement)}", flush=True)
    record = Benchmark(run=name, protocol=protocol, machine=machine, postprocessing=shares, measurements=measurements)
    write_record(metrics, record)


def _measurements(case: BenchmarkCase, ready: Ready, rounds: Sequence[Round], protocol: Protocol) -> list[Measurement]:
    """Return one record for each boundary, over the calls of all rounds; one record if nothing was measured."""
    found = {IMAGE_TO_LABELS: Latency()}
    if rounds:
        memory = rounds[-1].peak_memory_mb
        calls = {boundary: [timed.seconds[boundary] for timed in rounds] for boundary in rounds[0].seconds}
        found = {b: summarize(seconds, case.shape.batch, protocol.noisy_above, memory) for b, seconds in calls.items()}
    return [
        Measurement(
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
        for boundary, latency in found.items()
    ]


def _in_words(entry: Measurement) -> str:
    what = f"{entry.runtime} {entry.precision} {entry.file} {entry.boundary}"
    if entry.status != "measured":
        return f"{what}: not run: {entry.reason}"
    return f"{what}: p50 {entry.p50_ms:.2f} ms over {entry.calls} calls{', noisy' if entry.noisy else ''}"
