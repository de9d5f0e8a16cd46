"""Compare the data loader with the training step, in images/s, on a profile's data.

Measures the loader with decoding each time and with decoded pairs, for no, one and more loader processes. Also measures
how busy the step keeps the device when the loader feeds it.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.record import begun
from benchmarks.train import stepper_of
from pipeline.data.classes import ClassTable
from pipeline.data.crops import BatchShard, CropDataset, TrainingBatch, crop_batches, crop_dataset
from pipeline.data.files import write_json
from pipeline.data.samples import read_samples
from pipeline.errors import DatasetError
from pipeline.params.tree import Params, load_params
from pipeline.training.device import wait_for
from pipeline.training.fabric import launch
from pipeline.training.network import new_network
from pipeline.training.objective import SupervisedObjective, Task
from pipeline.training.step import Stepper


def add_arguments(parser: argparse.ArgumentParser) -> None:
    cores = len(os.sched_getaffinity(0))
    parser.add_argument("--workers", type=int, nargs="+", default=sorted({0, 1, 2, cores}), help="loader processes")
    parser.add_argument("--iterations", type=int, default=30, help="timed training steps for each case")
    parser.add_argument("--out", type=Path, default=Path("reports/speed/data.json"), help="the record, JSON")


def run(arguments: argparse.Namespace) -> None:
    if not Path("data/curated/samples.csv").is_file():
        raise DatasetError("data/curated/samples.csv is missing here; run `dvc repro curate`, or give --profile")
    params = load_params()
    stepper = _stepper(params)
    with tempfile.TemporaryDirectory(dir="scratch" if Path("scratch").is_dir() else None) as folder:
        cases = list(_cases(params, stepper, Path(folder), arguments))
    write_json(
        arguments.out, {**begun(), "crop": [params.training.crop_height, params.training.crop_width], "cases": cases}
    )
    print(f"wrote {arguments.out}")


def _cases(params: Params, stepper: Stepper, folder: Path, arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    samples = read_samples(Path("data/curated/samples.csv"), "train")
    classes = ClassTable.load(Path("data/prepared/classes.json"))
    print(f"{'pairs':>8} {'workers':>8} {'loader':>10} {'step':>10} {'together':>10} {'busy':>6}")
    for gib in (0.0, params.training.decoded_gib):
        for workers in arguments.workers:
            training = replace(params.training, decoded_gib=gib, workers=workers)
            crops = crop_dataset(samples, classes, training, 0, folder)
            if gib:
                for sample in crops.samples:  # as from the second epoch on
                    crops.pairs.read(sample)
            row = _measured(crops, training.batch_size, workers, stepper, arguments.iterations)
            row = {"pairs": "decoded before" if gib else "decoded each time", "workers": workers, **row}
            print(
                f"{'before' if gib else 'each time':>9} {workers:7} {row['loader_images_per_s']:8.1f}/s "
                f"{row['step_images_per_s']:8.1f}/s {row['together_images_per_s']:8.1f}/s {100 * row['busy']:5.0f}%",
                flush=True,
            )
            yield row


def _measured(crops: CropDataset, batch_size: int, workers: int, stepper: Stepper, iterations: int) -> dict[str, float]:
    """Return images per second of the loader, of the step, and of both together; `busy` is together / step."""
    device = stepper.fabric.device

    def batches() -> Iterator[TrainingBatch]:
        return crop_batches(crops, BatchShard(batch_size), 0, iterations + 1, workers)

    loading = batches()
    one = next(loading)  # starts the loader processes
    start = time.perf_counter()
    loaded = sum(len(batch.ids) for batch in loading) / (time.perf_counter() - start)
    seconds = []
    for iteration in range(iterations):
        wait_for(device)
        start = time.perf_counter()
        stepper.step(iteration, [one])
        wait_for(device)
        seconds.append(time.perf_counter() - start)
    stepped = batch_size / median(seconds)
    feeding = batches()
    stepper.step(0, [next(feeding)])
    wait_for(device)
    start = time.perf_counter()
    for iteration, batch in enumerate(feeding):
        stepper.step(iteration, [batch])
    wait_for(device)
    together = iterations * batch_size / (time.perf_counter() - start)
    return {"loader_images_per_s": loaded, "step_images_per_s": stepped, "together_images_per_s": together,
            "busy": together / stepped}  # fmt: skip


def _stepper(params: Params) -> Stepper:
    """Return the step of the profile's first baseline: the fastest step, so it needs the most images per second."""
    fabric = launch(1, params.training.precision, params.training.deterministic)
    run = next(run for run in params.runs.values() if not run.distill)
    classes = ClassTable.load(Path("data/prepared/classes.json"))
    segmenter, *_ = new_network(run.network, classes, run.seed, Path("artifacts/pretraining"))
    objective = SupervisedObjective(segmenter, Task.of(params.training, None))
    return stepper_of(objective, fabric)
