"""Compare the training step with a plain PyTorch one: images/s and peak memory.

Every case runs in a separate process, so that its peak memory is measured alone. Plain and ours take turns.
"""

import argparse
import json
import multiprocessing
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.plain import PlainCWD, PlainDiffKD, PlainGDD, PlainStep
from benchmarks.record import begun
from models.build import Design, build_segmenter
from models.folding import fold_batchnorms
from pipeline.data.augmentation import distort
from pipeline.data.crops import BatchShard, TrainingBatch
from pipeline.data.dataset import network_input
from pipeline.data.files import write_json
from pipeline.distillation import METHODS
from pipeline.distillation.method import method_class
from pipeline.distillation.objective import DistillationObjective
from pipeline.measure.machine import peak_memory_bytes
from pipeline.params.training import TrainingParams
from pipeline.training.compilation import compile_objective
from pipeline.training.device import best_device, wait_for
from pipeline.training.fabric import Fabric, launch
from pipeline.training.objective import SupervisedObjective, Task
from pipeline.training.optimizer import make_optimizer
from pipeline.training.step import LossGuard, Stepper

ROOT = Path(__file__).parents[1]
WEIGHTS = {"gdd": 145.0, "cwd": 3.0, "diffkd": 1.0}
PLAIN = {"gdd": PlainGDD, "cwd": lambda *_: PlainCWD(), "diffkd": PlainDiffKD}
PLAIN_TASK = Task(auxiliary_weight=0.4, mean="all_pixels", class_weights=None, image_scale=1.0)
SHORT_S = 0.02  # of a matrix product, before the next size has eight times the operations
CLASSES = tuple(f"class {index}" for index in range(19))


@dataclass(frozen=True, kw_only=True)
class Case:
    """One step to time: `plain` or `ours`, at one size."""

    form: str
    architecture: str
    method: str  # none, or a key of METHODS; the plain step has only those of PLAIN
    teacher: str  # a timm backbone
    height: int
    width: int
    batch_size: int
    warm_up: int
    steps: int
    compile: str = "never"  # as training.compile


def add_arguments(parser: argparse.ArgumentParser) -> None:
    gpu = torch.cuda.is_available()
    students, methods = ["pspnet", "deeplabv3"], ["none", *WEIGHTS]  # none: no teacher
    parser.add_argument("--students", nargs="+", default=students, choices=students, help="architectures")
    told = "distillation methods; one without a plain form is compared with a plain step without distillation"
    parser.add_argument("--methods", nargs="+", default=methods, choices=["none", *METHODS], help=told)
    parser.add_argument("--teacher", default="resnet101" if gpu else "resnet50", help="a timm backbone")
    parser.add_argument("--height", type=int, default=512 if gpu else 180, help="height of the crop, pixels")
    parser.add_argument("--width", type=int, default=512 if gpu else 240, help="width of the crop, pixels")
    parser.add_argument("--batch-size", type=int, default=16 if gpu else 8, help="images of one step")
    parser.add_argument("--warm-up", type=int, default=5 if gpu else 3, help="steps before the clock starts")
    parser.add_argument("--steps", type=int, default=30 if gpu else 5, help="timed steps of each case")
    parser.add_argument("--compile", default="auto", choices=["auto", "always", "never"], help="as training.compile")
    parser.add_argument("--resume", action="store_true", help="keep the cases that --out has already")
    parser.add_argument("--out", type=Path, default=Path("reports/speed/train.json"), help="the record, JSON")


def run(arguments: argparse.Namespace) -> None:
    record = _begun(arguments)
    known = {(row["architecture"], row["method"]) for row in record["cases"]}
    print(f"{'student':10} {'method':7} {'plain':>12} {'ours':>12} {'ratio':>6} {'of peak':>8} {'memory':>15}")
    peak = record["matrix_peak_flops"]
    for architecture in arguments.students:
        for method in arguments.methods:
            if (architecture, method) in known:
                continue
            names = ("teacher", "height", "width", "batch_size", "steps", "compile")
            sizes = {name: getattr(arguments, name) for name in names}
            case = Case(form="plain", architecture=architecture, method=method, warm_up=arguments.warm_up, **sizes)
            plain, ours = (in_process(measure, replace(case, form=form)) for form in ("plain", "ours"))
            # The speed of a shared machine varies from minute to minute, so keep the best of all measurements.
            again = in_process(matrix_peak, 5)
            peak |= {name: max(rate, again[name]) for name, rate in peak.items()}
            row = compared(case, plain, ours, max(peak.values()))
            record["cases"].append(row)
            write_json(arguments.out, record)
            print(
                f"{architecture:10} {method:7} {plain['images_per_s']:9.2f}/s  {ours['images_per_s']:9.2f}/s  "
                f"{row['ratio']:5.2f}x {100 * row['share_of_peak']:7.1f}% "
                f"{ours['peak_memory_bytes'] / 1e9:6.2f}/{plain['peak_memory_bytes'] / 1e9:.2f} GB",
                flush=True,
            )
    print(f"wrote {arguments.out}")


def _begun(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return a new record, or with --resume the unfinished record of an earlier call."""
    if arguments.resume and arguments.out.is_file():
        return json.loads(arguments.out.read_text())
    return {**begun(), "matrix_peak_flops": in_process(matrix_peak, 20), "cases": []}


def compared(case: Case, plain: dict[str, Any], ours: dict[str, Any], peak: float) -> dict[str, Any]:
    """Return the record of one row: ratios of speed and memory, and the share of the machine's peak operations."""
    return {
        **{name: value for name, value in asdict(case).items() if name != "form"},
        "plain": plain,
        "ours": ours,
        "ratio": ours["images_per_s"] / plain["images_per_s"],
        "memory_ratio": ours["peak_memory_bytes"] / plain["peak_memory_bytes"],
        "share_of_peak": ours["flops_per_s"] / peak,
    }


def measure(case: Case) -> dict[str, Any]:
    """Measure a step's time, the operations that it runs (two for a multiply-accumulate), and peak memory."""
    torch.manual_seed(0)
    device = best_device()
    objective, compiled = None, ""
    if case.form == "ours":
        step, objective, compiled = our_step(case, launch(1, "auto", False))
    else:
        step = _plain(case, device)
    batch = random_batch(case)
    if device.type == "cuda":
        batch = batch._replace(image=batch.image.pin_memory(), labels=batch.labels.pin_memory())
        torch.cuda.reset_peak_memory_stats()
    for _ in range(case.warm_up):
        step(batch)
    seconds = []
    for _ in range(case.steps):
        wait_for(device)
        start = time.perf_counter()
        step(batch)
        wait_for(device)
        seconds.append(time.perf_counter() - start)
    memory = torch.cuda.max_memory_allocated() if device.type == "cuda" else peak_memory_bytes()
    if objective is not None:
        objective._compiled_call_impl = None  # uncompiled: PyTorch's dispatcher counts operations
    with FlopCounterMode(display=False) as counter:
        step(batch)
    flops = counter.get_total_flops()
    typical = median(seconds)
    return {"seconds": seconds, "images_per_s": case.batch_size / typical, "peak_memory_bytes": memory,
            "compiled": compiled, "flops": flops, "flops_per_s": flops / typical}  # fmt: skip


def matrix_peak(products: int) -> dict[str, float]:
    """Return the best rate of `products` products of square matrices, in operations per second, for each type.

    The matrices grow as long as a product is short: a CPU without bf16 takes 20 s for one of the largest.
    """
    device = best_device()
    largest = 8192 if device.type == "cuda" else 2048
    rates = {}
    for name, dtype in (("bf16", torch.bfloat16), ("fp32", torch.float32)):
        size = 256
        while size < largest and product_seconds(size, dtype, device, 2) < SHORT_S:
            size *= 2
        rates[name] = 2 * size**3 / product_seconds(size, dtype, device, products + 1)
    return rates


def product_seconds(size: int, dtype: torch.dtype, device: torch.device, products: int) -> float:
    """Return the time of the fastest of some products of two square matrices."""
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    best = float("inf")
    for _ in range(products):
        wait_for(device)
        start = time.perf_counter()
        torch.mm(a, b)
        wait_for(device)
        best = min(best, time.perf_counter() - start)
    return best


def random_batch(case: Case) -> TrainingBatch:
    size = (case.batch_size, case.height, case.width)
    images = torch.randint(0, 256, (*size, 3), dtype=torch.uint8).permute(0, 3, 1, 2)  # as the loader stacks them
    labels = torch.randint(0, len(CLASSES), size, dtype=torch.uint8)
    strengths = torch.tensor([16.0, 1.2, 0.8, 9.0]).repeat(case.batch_size, 1)  # all distortions on
    return TrainingBatch(images, labels, strengths, [""] * case.batch_size)


def our_step(case: Case, fabric: Fabric) -> tuple[Callable[[TrainingBatch], Any], SupervisedObjective, str]:
    """Return a function that trains a batch as the training loop does, its objective, and how it is compiled."""
    student, teacher = _networks(case)
    if case.method == "none":
        objective = SupervisedObjective(student, PLAIN_TASK)
    else:
        kind = method_class(case.method)
        if not kind.needs_auxiliary_heads:
            teacher.auxiliary_head = None
        fold_batchnorms(teacher)
        method = kind(kind.Params(), student, teacher, case.steps)
        objective = DistillationObjective(
            student, teacher, {case.method: method}, {case.method: WEIGHTS.get(case.method, 1.0)}, PLAIN_TASK
        )
    stepper = stepper_of(objective, fabric)
    training = replace(TrainingParams(), compile=case.compile, crop_height=case.height, crop_width=case.width)
    compiled = compile_objective(stepper, training, BatchShard(case.batch_size))
    return lambda batch: stepper.step(0, [batch]), objective, compiled


def stepper_of(objective: SupervisedObjective, fabric: Fabric) -> Stepper:
    """Return a stepper that is set up as in the training loop."""
    objective.to(fabric.device, memory_format=torch.channels_last)  # type: ignore[reportCallIssue]
    objective.train()
    optimizer = make_optimizer(objective.parameters(), 0.01, 0.9, 5e-4, 0.0, fused=True)
    return Stepper(fabric, objective, optimizer, LossGuard(10.0).to(fabric.device), 10.0)


def _plain(case: Case, device: torch.device):
    student, teacher = (network.to(device) for network in _networks(case))
    method = PLAIN[case.method](student, teacher).to(device) if case.method in PLAIN else None
    step = PlainStep(student, teacher, method)

    def run(batch: TrainingBatch) -> None:
        image, labels, strengths = batch.on(device)
        step(distort(network_input(image), strengths).contiguous(), labels.long())

    return run


def _networks(case: Case):
    student = Design(
        architecture=case.architecture, backbone="resnet18_v1c", input_scale=1.0, output_stride=8,
        head_channels=128, auxiliary_channels=64, channels={}, class_names=CLASSES,
    )  # fmt: skip
    teacher = replace(student, architecture="pspnet", backbone=case.teacher, head_channels=512, auxiliary_channels=256)
    return build_segmenter(student), build_segmenter(teacher)


def in_process(function: Callable[..., dict[str, Any]], *arguments: object) -> dict[str, Any]:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)
