"""Check that a repeated training ends in the same bytes, and measure the time that training.deterministic costs.

Each case trains twice on the same random batches, in separate processes, with and without training.deterministic.
"""

import argparse
import time
from hashlib import sha256
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks.record import begun
from benchmarks.train import Case, in_process, our_step, random_batch
from pipeline.data.files import write_json
from pipeline.training.device import wait_for
from pipeline.training.fabric import launch


def add_arguments(parser: argparse.ArgumentParser) -> None:
    gpu = torch.cuda.is_available()
    parser.add_argument("--student", default="pspnet", choices=["pspnet", "deeplabv3"], help="architecture")
    parser.add_argument("--methods", nargs="+", default=["none", "gdd", "cwd"], help="none: no teacher")
    parser.add_argument("--teacher", default="resnet101" if gpu else "resnet50", help="a timm backbone")
    parser.add_argument("--height", type=int, default=512 if gpu else 96, help="height of the crop, pixels")
    parser.add_argument("--width", type=int, default=512 if gpu else 128, help="width of the crop, pixels")
    parser.add_argument("--batch-size", type=int, default=16 if gpu else 8, help="images of one step")
    parser.add_argument("--steps", type=int, default=20 if gpu else 6, help="timed steps of each training")
    parser.add_argument("--out", type=Path, default=Path("reports/speed/determinism.json"), help="the record, JSON")


def run(arguments: argparse.Namespace) -> None:
    record: dict[str, Any] = {**begun(), "cases": []}
    print(f"{'method':8} {'deterministic':>14} {'images/s':>9} {'same bytes again'}")
    for method in arguments.methods:
        for deterministic in (False, True):
            case = Case(form="ours", architecture=arguments.student, method=method, teacher=arguments.teacher,
                        height=arguments.height, width=arguments.width, batch_size=arguments.batch_size, warm_up=2,
                        steps=arguments.steps)  # fmt: skip
            runs = [in_process(train, case, deterministic) for _ in range(2)]
            same = runs[0]["digest"] == runs[1]["digest"]
            rate = max(run["images_per_s"] for run in runs)
            record["cases"].append(
                {"method": method, "deterministic": deterministic, "images_per_s": rate, "same_bytes": same}
            )
            print(f"{method:8} {deterministic!s:>14} {rate:9.2f} {'yes' if same else 'no'}", flush=True)
            write_json(arguments.out, record)
    print(f"wrote {arguments.out}")


def train(case: Case, deterministic: bool) -> dict[str, Any]:
    """Train; returns images per second and the digest of all weights."""
    torch.manual_seed(0)
    fabric = launch(1, "auto", deterministic)
    step, objective, _ = our_step(case, fabric)
    batches = [random_batch(case) for _ in range(case.warm_up + case.steps)]
    seconds = []
    for batch in batches:
        start = time.perf_counter()
        step(batch)
        wait_for(fabric.device)
        seconds.append(time.perf_counter() - start)
    digest = sha256()
    for tensor in objective.state_dict().values():
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return {"images_per_s": case.batch_size / median(seconds[case.warm_up :]), "digest": digest.hexdigest()}
