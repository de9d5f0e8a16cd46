"""Latency of every artifact of a run on every runtime, side by side on this machine."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, fields
from pathlib import Path
from statistics import median

from pipeline.data.files import write_json
from pipeline.data.samples import read_samples
from pipeline.measure.latency import Latency, Protocol, summarize
from pipeline.measure.machine import load_average, machine_record
from pipeline.measure.targets import Target
from pipeline.measure.worker import Ready, Round, Worker
from pipeline.params.deployment import ProfileParams
from pipeline.runtime.nodes import NodeTime, postprocessing

WIDEST_TOLD = "image_to_labels"
"""The boundary that stands for a target of which nothing could be measured."""


def profile_run(
    name: str, profile: ProfileParams, split: str, targets: Sequence[Target], samples: Path, metrics: Path
) -> None:
    """Measure every target at every boundary on real images and write the records as `metrics`.

    Each target has a process of its own. They take turns: one round of all of them, then the next. One that cannot run
    on this machine is recorded as not run, with the reason.

    Raises:
        ProfileError: an artifact is damaged, or a process died.
    """
    images = [sample.image for sample in read_samples(samples, split)[: profile.images]]
    protocol = Protocol(**{field.name: getattr(profile, field.name) for field in fields(Protocol)})
    machine = {**machine_record(), "load_average_before": load_average()}
    with ExitStack() as stack:
        workers = {
            target: stack.enter_context(Worker(target, protocol, profile.threads, images))
            for target in targets
            if not target.missing
        }
        ready = {target: worker.ready() for target, worker in workers.items()}
        able = {target: workers[target] for target in workers if not ready[target].unavailable}
        rounds: dict[Target, list[Round]] = {target: [] for target in able}
        for _ in range(protocol.rounds):
            for target, worker in able.items():
                rounds[target].append(worker.time_round())
        shares = [
            share
            for t, worker in able.items()
            if t.runtime == "onnxruntime" and t.shape == targets[0].shape
            for share in _postprocessing(name, t, worker.time_nodes())
        ]
    measurements: list[dict[str, object]] = []
    for target in targets:
        state = ready.get(target, Ready("", target.missing))
        timed = rounds.get(target)
        records = _measured(target, state, timed, profile) if timed else [_not_run(target, state, profile)]
        measurements.extend(records)
        for record in records:
            print(f"{name} {_in_words(record)}", flush=True)
    write_json(
        metrics,
        {
            "run": name,
            "protocol": {**asdict(protocol), "threads": profile.threads, "split": split, "images": len(images)},
            "machine": machine,
            "postprocessing": shares,
            "measurements": measurements,
        },
    )


def _postprocessing(name: str, target: Target, nodes: Sequence[NodeTime]) -> list[dict[str, object]]:
    """One record; none, with a word of it, where the nodes' times are none."""
    share = postprocessing(nodes)
    if share is None:
        print(f"{name} {target.path.name}: post-processing was not timed: the clock was set back meanwhile", flush=True)
        return []
    return [{"precision": target.precision, "file": target.path.name, **share._asdict()}]


def _measured(target: Target, ready: Ready, rounds: Sequence[Round], profile: ProfileParams) -> list[dict[str, object]]:
    """One record for each boundary, over the calls of all rounds."""
    records = []
    for boundary in rounds[0].seconds:
        seconds = [s for timed in rounds for s in timed.seconds[boundary]]
        latency = summarize(seconds, target.shape.batch, profile.noisy_above)
        of_rounds = [1e3 * median(timed.seconds[boundary]) for timed in rounds]
        numbers = {**latency.record(), "p50_ms_of_rounds": of_rounds, "peak_memory_mb": rounds[-1].peak_memory_mb}
        records.append(_record(target, ready, profile.threads, boundary, numbers))
    return records


def _not_run(target: Target, ready: Ready, profile: ProfileParams) -> dict[str, object]:
    names = [*(field.name for field in fields(Latency)), "p50_ms_of_rounds", "peak_memory_mb"]
    return _record(target, ready, profile.threads, WIDEST_TOLD, dict.fromkeys(names))


def _record(
    target: Target, ready: Ready, threads: int, boundary: str, numbers: Mapping[str, object]
) -> dict[str, object]:
    return {
        **target.record(),
        "provider": ready.provider,
        "threads": threads,
        "boundary": boundary,
        "status": "not run" if ready.unavailable else "measured",
        "reason": ready.unavailable,
        **numbers,
    }


def _in_words(record: dict[str, object]) -> str:
    what = f"{record['runtime']} {record['precision']} {record['file']} {record['boundary']}"
    if record["status"] != "measured":
        return f"{what}: not run: {record['reason']}"
    noisy = ", noisy" if record["noisy"] else ""
    return f"{what}: p50 {record['p50_ms']:.2f} ms over {record['calls']} calls{noisy}"
