"""Latency of every artifact of a run, each measured in a process of its own.

Two sessions in one process keep threads spinning on the same cores and slow each other down.
"""

import multiprocessing
from collections.abc import Callable
from dataclasses import fields
from multiprocessing.connection import Connection
from pathlib import Path

from pipeline.data.files import write_json
from pipeline.data.images import read_image
from pipeline.data.samples import read_samples
from pipeline.errors import SegdistillError
from pipeline.measure.latency import Protocol, measure_latency
from pipeline.measure.machine import machine_record, peak_memory_bytes
from pipeline.params import ProfileParams
from pipeline.runtime import RunnerUnavailable, open_runner


class ProfileError(SegdistillError):
    """A measurement that ended without a result."""


def profile_run(
    name: str, profile: ProfileParams, split: str, samples: Path, artifacts: dict[str, Path], metrics: Path
) -> None:
    """Measure every artifact at every boundary on real images and write the records as `metrics`.

    Args:
        artifacts: runtime name to file, for example {"onnxruntime": model.onnx}. One that cannot run on this machine
            is recorded as not run, with the reason.
    """
    chosen = [sample.image for sample in read_samples(samples, split)[: profile.images]]
    size = read_image(chosen[0]).shape[:2]
    measurements = []
    for runtime, artifact in artifacts.items():
        for measured in _in_own_process(artifact, profile, chosen):
            measurements.append({"runtime": runtime, **measured})
            print(f"{name} {runtime} {measured['boundary']}: {_in_words(measured)}", flush=True)
    write_json(
        metrics,
        {
            "run": name,
            "machine": machine_record(),
            "threads": profile.threads,
            "batch": 1,
            "input": list(size),
            "measurements": measurements,
        },
    )


def _in_own_process(artifact: Path, profile: ProfileParams, images: list[Path]) -> list[dict[str, object]]:
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_measure, args=(sender, artifact, profile, images))
    process.start()
    sender.close()
    try:
        return receiver.recv()
    except EOFError as error:
        process.join()
        raise ProfileError(
            f"measuring {artifact} ended with exit status {process.exitcode} and without a result; "
            f"its own message stands above (-9 means that the machine ran out of memory)"
        ) from error
    finally:
        process.join()


def _measure(sender: Connection, artifact: Path, profile: ProfileParams, images: list[Path]) -> None:
    """Send one record for each boundary; a runner that is unavailable gives one that says why."""
    protocol = Protocol(**{field.name: getattr(profile, field.name) for field in fields(Protocol)})
    try:
        with open_runner(artifact, profile.threads) as runner:
            decoded = [read_image(path)[None] for path in images]

            def from_image(i: int) -> object:
                return runner.run(decoded[i % len(decoded)])

            def from_file(i: int) -> object:
                return runner.run(read_image(images[i % len(images)])[None])

            calls = {"image_to_labels": from_image, "file_to_labels": from_file}
            sender.send([_record(boundary, call, protocol) for boundary, call in calls.items()])
    except RunnerUnavailable as error:
        sender.send([{"boundary": "image_to_labels", "status": "not run", "reason": str(error)}])


def _record(boundary: str, call: Callable[[int], object], protocol: Protocol) -> dict[str, object]:
    latency = measure_latency(call, 1, protocol)
    peak_mb = peak_memory_bytes() / 2**20  # of the process so far
    return {
        "boundary": boundary,
        "status": "measured",
        "reason": "",
        **latency.record(),
        "peak_memory_mb": round(peak_mb, 1),
    }


def _in_words(measured: dict[str, object]) -> str:
    if measured["status"] != "measured":
        return f"not run: {measured['reason']}"
    return f"p50 {measured['p50_ms']:.2f} ms over {measured['calls']} calls"
