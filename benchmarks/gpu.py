"""Run everything that needs a GPU, in slots of minutes. Without a GPU this is a dry run.

The machine needs no package index; benchmarks/gpu.md lists the files to copy to it. Items run one after the other in
one process. If an item fails or takes too long, this is recorded and the next item starts. Run the command again in the
next slot: it skips finished and failed items (--again NAME repeats one) and continues trainings from their last
checkpoints.
"""

import argparse
import contextlib
import io
import json
import shutil
import signal
import subprocess
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
import torch

from benchmarks.record import begun
from benchmarks.slot import ahead, collect, run_slot, trainings
from benchmarks.train import CLASSES, Case, measure, our_step, random_batch
from models.build import Design, build_segmenter
from models.export_wrappers import LabelsGraph
from pipeline.data.files import write_json
from pipeline.distillation import METHODS
from pipeline.params.tree import load_params
from pipeline.training.device import best_device
from pipeline.training.fabric import launch

ROOT = Path(__file__).parents[1]
ON_GPU = torch.cuda.is_available()
SIZE = (360, 360, 16) if ON_GPU else (48, 64, 2)  # height and width of the crop, batch size
TEACHER = "resnet101" if ON_GPU else "resnet10t"
IMAGES = 50 if ON_GPU else 2
PATIENCE = 1 if ON_GPU else 5  # factor on all time limits: a dry run is slower
RESERVED_S = 15.0  # to collect the results of the trainings

Result = dict[str, Any]


class Item(NamedTuple):
    seconds: float  # its time limit
    run: Callable[[], Result]


class OutOfTime(Exception):
    pass


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=570, help="length of this slot, seconds")
    parser.add_argument("--items", nargs="+", choices=ITEMS, default=list(ITEMS), help="items to run, in this order")
    parser.add_argument("--again", nargs="+", choices=ITEMS, default=[], help="items to repeat")
    parser.add_argument("--train", type=Path, help="folder of a profile to train in the remaining time")
    parser.add_argument("--state", type=Path, default=ROOT / "scratch/gpu", help="folder for the records between slots")
    parser.add_argument("--out", type=Path, required=True, help="folder for copies of all results")


def run(arguments: argparse.Namespace) -> None:
    deadline = time.monotonic() + arguments.seconds
    arguments.state.mkdir(parents=True, exist_ok=True)
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in arguments.items:
        record = arguments.state / f"{name}.json"
        if name not in arguments.again and is_settled(record):
            print(f"{name}: done in an earlier slot", flush=True)
        else:
            budget = min(PATIENCE * ITEMS[name].seconds, deadline - time.monotonic())
            write_json(record, {**begun(), **attempt(name, ITEMS[name].run, budget)})
        shutil.copy(record, arguments.out)
    if arguments.train:
        profile = arguments.train.resolve()
        with contextlib.chdir(profile):
            params = load_params()
        done = run_slot([*ahead(params), *trainings(params)], profile, deadline - RESERVED_S)
        collect(profile, arguments.out)
        print("everything is trained and judged" if done else "trainings continue in the next slot", flush=True)


def is_settled(record: Path) -> bool:
    """Return whether an item finished or failed in an earlier slot; an item that ran out of time runs again."""
    return record.exists() and json.loads(record.read_text())["status"] != "out of time"


def attempt(name: str, work: Callable[[], Result], seconds: float) -> Result:
    """Run one item within its time limit; returns its result, or its failure."""
    print(f"== {name} ({seconds:.0f} s)", flush=True)
    start = time.monotonic()
    outcome: Result = {}
    try:
        with time_limit(seconds):
            outcome = {"status": "done", "result": work()}
    except OutOfTime:
        outcome = {"status": "out of time"}
    except Exception as error:  # items fail in different ways, and none may end the slot
        outcome = {"status": "failed", "error": f"{type(error).__name__}: {error}", "trace": traceback.format_exc()}
    outcome["seconds"] = round(time.monotonic() - start, 2)
    print(json.dumps({key: value for key, value in outcome.items() if key != "trace"})[:2000], flush=True)
    return {"item": name, **outcome}


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise OutOfTime in the block when its time is up."""
    if seconds <= 0:
        raise OutOfTime

    def stop(*_: object) -> None:
        raise OutOfTime

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def facts() -> Result:
    """Return versions, the GPU, its driver, and the output of `doctor`."""
    facts: Result = {"torch": torch.__version__, "cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version()}
    if ON_GPU:
        properties = torch.cuda.get_device_properties(0)
        facts |= {"gpu": properties.name, "memory_bytes": properties.total_memory,
                  "capability": list(torch.cuda.get_device_capability())}  # fmt: skip
    for name, command in {
        "nvidia_smi": ["nvidia-smi"], "doctor": [sys.executable, "-m", "pipeline", "doctor"],
    }.items():  # fmt: skip
        if shutil.which(command[0]):
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
            facts[name] = (done.stdout + done.stderr).splitlines()
    return facts


def tests() -> Result:
    """Run tests/training/test_on_device.py: `fit` in three precisions, losses and gradients, determinism."""
    import pytest

    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        status = pytest.main(["-q", "-p", "no:cacheprovider", str(ROOT / "tests/training/test_on_device.py")])
    if status:
        raise AssertionError(said.getvalue()[-6000:])
    return {"said": said.getvalue().splitlines()[-3:]}


def waits() -> Result:
    """Return for each method where the host waited for the GPU in its second step, as PyTorch reports it."""
    found = {}
    for method in METHODS:
        # 128 pixels: Af-DCD needs 16 cells of 8 pixels in height and width.
        case = _case("ours", method, steps=1, height=max(SIZE[0], 128), width=max(SIZE[1], 128))
        step, batch = our_step(case, launch(1, "auto", False))[0], random_batch(case)
        step(batch)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            if ON_GPU:
                torch.cuda.set_sync_debug_mode("warn")
            try:
                step(batch)
            finally:
                if ON_GPU:
                    torch.cuda.set_sync_debug_mode("default")
        found[method] = [f"{Path(w.filename).name}:{w.lineno}" for w in caught if "synchron" in str(w.message)]
    return found


def against_cpu() -> Result:
    """Return the first float32 losses on both devices, and the shares of equal pixels with and without TF32."""
    losses = {}
    for device in dict.fromkeys(("cpu", best_device().type)):
        torch.manual_seed(0)
        case = _case("ours", "none", height=96, width=128, batch_size=4, steps=20 if ON_GPU else 5)
        with patch.object(torch.cuda, "is_available", lambda device=device: device == "cuda"):
            step, *_ = our_step(case, launch(1, "fp32", False))
        losses[device] = [step(random_batch(case))[0][0].total.item() for _ in range(case.steps)]
    return {"losses": losses, "labels": _label_agreement()}


def _label_agreement() -> Result:
    """Return the shares of pixels with the same class as on the CPU, for random images and a fresh PSPNet-R18."""
    torch.manual_seed(0)
    graph, device = LabelsGraph(build_segmenter(_design())), best_device()
    images = torch.randint(256, (IMAGES, 1, *SIZE[:2], 3), dtype=torch.uint8)
    shares = {}
    with torch.inference_mode():
        expected = [graph(image) for image in images]
        graph.to(device)
        for name in ("fp32", "tf32"):
            torch.backends.cudnn.allow_tf32 = name == "tf32"
            found = [graph(image.to(device)).cpu() for image in images]
            equal = [(a == b).float().mean().item() for a, b in zip(found, expected, strict=True)]
            shares[name] = float(np.mean(equal))
        torch.backends.cudnn.allow_tf32 = True  # PyTorch's default
    return shares


def speed() -> Result:
    """Measure images per second and memory of the GDD step, in four forms.

    The forms are: plain, plain with cuDNN's search, ours, and ours compiled. Ours always uses cuDNN's search.
    """
    rows = {}
    for name, form, compile_ in (
        ("plain", "plain", "never"), ("plain, cudnn.benchmark", "plain", "never"),
        ("ours", "ours", "never"), ("ours, compiled", "ours", "always" if ON_GPU else "auto"),
    ):  # fmt: skip
        torch.backends.cudnn.benchmark = "benchmark" in name
        measured = measure(_case(form, "gdd", steps=20 if ON_GPU else 1, compile=compile_))
        rows[name] = {key: measured[key] for key in ("images_per_s", "peak_memory_bytes", "flops_per_s", "compiled")}
    torch.backends.cudnn.benchmark = False
    return rows


def determinism() -> Result:
    """Return whether two trainings end in the same bytes."""
    from benchmarks.determinism import train

    case = _case("ours", "gdd", steps=5)
    digests = [train(case, deterministic=True)["digest"] for _ in range(2)]
    torch.use_deterministic_algorithms(False)
    return {"same_bytes": digests[0] == digests[1]}


def runtimes() -> Result:
    """Run a fresh PSPNet-R18 in every runtime that loads here; returns agreement with PyTorch on the CPU, and time."""
    from pipeline.deploy.onnx_export import export_graph
    from segdistill_runtime.engine_target import EngineTarget
    from segdistill_runtime.runner import InputShape
    from segdistill_runtime.targets.target import all_targets, read_file

    torch.manual_seed(0)
    design, (height, width, _) = _design(), SIZE
    graph = LabelsGraph(build_segmenter(design))
    image = torch.randint(256, (1, height, width, 3), dtype=torch.uint8)
    expected = graph(image).numpy()
    found: Result = {}
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        export_graph(graph, design, InputShape(1, height, width), 18, path)
        for target in all_targets():
            try:
                file = _engine(target, path) if isinstance(target, EngineTarget) else path
                with target.open(str(file), read_file, 0) as runner:
                    labels, times = runner.run(image.numpy()), []
                    for _ in range(200 if ON_GPU else 3):
                        start = time.perf_counter()
                        runner.run(image.numpy())
                        times.append(1000 * (time.perf_counter() - start))
                found[target.name] = {"equal_pixels": float((labels == expected).mean()), "p50_ms": median(times)}
            except Exception as error:  # the runtime is missing or fails: try the next
                found[target.name] = {"error": f"{type(error).__name__}: {error}"}
    return found


def _engine(target: Any, path: Path) -> Path:
    from segdistill_runtime.cuda import CudaRuntime
    from segdistill_runtime.engine_build import build_engine
    from segdistill_runtime.engine_file import write_engine

    gpu = CudaRuntime().capability()
    name = torch.cuda.get_device_name()
    plan, built = build_engine(target, path.name, path.read_bytes(), "fp32", [gpu], name, path.parent)
    return write_engine(path.parent, plan, built)


def _design() -> Design:
    return Design(architecture="pspnet", backbone="resnet18", output_stride=8, head_channels=128, auxiliary_channels=64,
                  class_names=CLASSES)  # fmt: skip


def _case(form: str, method: str, **changes: Any) -> Case:
    height, width, batch_size = SIZE
    case = Case(form=form, architecture="pspnet", method=method, teacher=TEACHER, height=height, width=width,
                batch_size=batch_size, warm_up=3, steps=1)  # fmt: skip
    return replace(case, **changes)


ITEMS = {
    "facts": Item(30, facts),
    "tests": Item(120, tests),
    "waits": Item(40, waits),
    "against_cpu": Item(40, against_cpu),
    "speed": Item(180, speed),
    "determinism": Item(30, determinism),
    "runtimes": Item(60, runtimes),
}
