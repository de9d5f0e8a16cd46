"""Measure the time and memory that more images, larger batches and larger crops cost.

Runs the stages before training unchanged, on folders of many tiny, different images. Runs each training step in a
process of its own.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import chdir
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from ruamel.yaml import YAML

from benchmarks.record import begun
from benchmarks.train import ROOT, Case, in_process, measure
from pipeline.data.classes import ClassTable
from pipeline.data.crops import crop_dataset
from pipeline.data.files import write_json
from pipeline.data.samples import read_samples
from pipeline.params.tree import load_params

HEIGHT, WIDTH = 24, 32
SPLITS = {"train": 0.8, "val": 0.1, "test": 0.1}
CLASSES = """\
classes:
  - {name: dark, color: [0, 0, 0], ids: [0]}
  - {name: light, color: [9, 9, 9], ids: [1]}
void: [255]
"""
SMALLEST = (2, 96, 128)
"""Batch size, height and width of the smallest step."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--images", type=int, nargs="*", default=[1_000, 10_000, 100_000], help="images in each case")
    parser.add_argument("--doublings", type=int, default=4, help="of the batch size; crop sides double half as often")
    parser.add_argument("--out", type=Path, default=Path("reports/speed/growth.json"), help="the record, JSON")


def run(arguments: argparse.Namespace) -> None:
    record: dict[str, Any] = {**begun(), "images": [], "steps": []}
    for count in arguments.images:
        with tempfile.TemporaryDirectory() as folder:
            record["images"].append(_stages(Path(folder), count))
        print(record["images"][-1], flush=True)
        write_json(arguments.out, record)
    for batch_size, height, width in _sizes(arguments.doublings):
        for method in ("none", "gdd"):
            row = _step(method, batch_size, height, width)
            record["steps"].append(row)
            print(row, flush=True)
            write_json(arguments.out, record)
    print(f"wrote {arguments.out}")


def _stages(folder: Path, count: int) -> dict[str, Any]:
    """Measure time and memory of prepare and curate, and the time of a training before its first iteration."""
    _draw_dataset(folder / "raw", count)
    yaml = YAML(typ="safe", pure=True)
    params = yaml.load((ROOT / "profiles/camvid/params.yaml").read_text())  # its rules keep images of noise
    params["dataset"] = {"adapter": "folder", "source": "raw"}
    with (folder / "params.yaml").open("w") as file:
        yaml.dump(params, file)
    shutil.copy(ROOT / "review.csv", folder)
    row: dict[str, Any] = {"count": count, "prepare": _run(folder, "prepare"), "curate": _run(folder, "curate")}
    with chdir(folder):
        start = time.perf_counter()
        samples = read_samples(Path("data/curated/samples.csv"), "train")
        classes = ClassTable.load(Path("data/prepared/classes.json"))
        row["read_list_seconds"] = time.perf_counter() - start
        start = time.perf_counter()
        crops = crop_dataset(samples, classes, load_params().training, 0, Path("scratch"))
        row["look_up_decoded_seconds"] = time.perf_counter() - start
        start = time.perf_counter()
        for draw in range(1000):
            crops.sample(draw)
        row["choose_1000_samples_seconds"] = time.perf_counter() - start
    return row


def _run(folder: Path, stage: str) -> dict[str, float]:
    """Run a stage as a separate program that prints its peak memory at the end."""
    program = f"""
import runpy
from pipeline.measure.machine import peak_memory_bytes
runpy.run_module("stages.{stage}", run_name="__main__")
print(peak_memory_bytes())
"""
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, stdout=subprocess.PIPE, text=True, check=True,
                          env={**os.environ, "PYTHONPATH": str(ROOT)})  # fmt: skip
    return {"seconds": time.perf_counter() - start, "peak_memory_bytes": int(done.stdout.split()[-1])}


def _draw_dataset(folder: Path, count: int) -> None:
    """Write images and masks of noise: all are different, and none has only one color."""
    random = np.random.default_rng(0)
    folder.mkdir(parents=True)
    (folder / "classes.yaml").write_text(CLASSES)
    for split, share in SPLITS.items():
        for kind in ("images", "masks"):
            (folder / kind / split).mkdir(parents=True)
        for index in range(round(share * count)):
            Image.fromarray(random.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)).save(
                folder / f"images/{split}/{index:06}.png", compress_level=0
            )
            Image.fromarray(random.integers(0, 2, (HEIGHT, WIDTH), dtype=np.uint8)).save(
                folder / f"masks/{split}/{index:06}.png", compress_level=1
            )


def _sizes(doublings: int) -> list[tuple[int, int, int]]:
    """Return the smallest size, then sizes with doubled batches, then sizes with doubled sides of the crop."""
    batch, height, width = SMALLEST
    batches = [(batch * 2**power, height, width) for power in range(doublings + 1)]
    return batches + [(batch, height * 2**power, width * 2**power) for power in range(1, doublings // 2 + 1)]


def _step(method: str, batch_size: int, height: int, width: int) -> dict[str, Any]:
    teacher = "resnet101" if torch.cuda.is_available() else "resnet50"
    case = Case(form="ours", architecture="pspnet", method=method, teacher=teacher, height=height, width=width,
                batch_size=batch_size, warm_up=2, steps=5)  # fmt: skip
    result = in_process(measure, case)
    return {"method": method, "batch_size": batch_size, "height": height, "width": width,
            "images_per_s": result["images_per_s"], "peak_memory_bytes": result["peak_memory_bytes"]}  # fmt: skip
