"""Check what this machine can do, by trying it.

Ends with status 1 if something that `make demo` needs does not work.
"""

import argparse
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from pipeline.errors import MachineError

GIGABYTE = 1e9
NEEDED_DISK_GB = 5.0
NEEDED_SHARED_MEMORY_GB = 0.25

Answer = tuple[bool, str]  # whether it works, and what was found


class Check(NamedTuple):
    name: str
    needed: bool  # by `make demo`
    purpose: str
    answer: Callable[[], Answer]


def python_version() -> Answer:
    return (3, 11) <= sys.version_info[:2] < (3, 13), f"{sys.version.split()[0]} (3.11 or 3.12 works)"


def torch_device() -> Answer:
    import torch

    from pipeline.training.device import best_device, resolved_precision

    device = best_device()
    name = torch.cuda.get_device_name() if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    computes = (torch.ones(2, device=device) + 1).sum().item() == 4
    return computes, f"{torch.__version__} on {name}; precision auto is {resolved_precision('auto', device.type)}"


def fiftyone_database() -> Answer:
    from pipeline.inspection.database import describe_database

    return True, describe_database()


def program(name: str) -> Answer:
    path = shutil.which(name)
    if path is None:
        return False, "not found"
    run = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    said = (run.stdout or run.stderr).strip().splitlines() or [f"status {run.returncode}"]
    return run.returncode == 0, said[0][:80]


def dvc_remotes() -> Answer:
    run = subprocess.run(["dvc", "remote", "list"], capture_output=True, text=True, check=False)
    remotes = [line.split()[0] for line in run.stdout.splitlines() if line.strip()]
    return bool(remotes), ", ".join(remotes) or "none"


def free_space(folder: str, needed_gb: float) -> Answer:
    free = shutil.disk_usage(folder).free / GIGABYTE
    return free >= needed_gb, f"{free:.2f} GB free, {needed_gb:g} GB are needed"


CHECKS = (
    Check("Python", True, "runs everything", python_version),
    Check("torch", True, "trains and evaluates", torch_device),
    Check("git", True, "DVC needs it", partial(program, "git")),
    Check("dvc", True, "runs the stages", partial(program, "dvc")),
    Check("DVC remotes", False, "publish and fetch", dvc_remotes),
    Check("FiftyOne's database", False, "`make inspect`; the report needs none", fiftyone_database),
    Check("chromium", False, "tests of the FiftyOne App", partial(program, "chromium")),
    Check("disk", True, "data, artifacts and DVC's cache", partial(free_space, ".", NEEDED_DISK_GB)),
    Check("/dev/shm", False, "training.workers above 0", partial(free_space, "/dev/shm", NEEDED_SHARED_MEMORY_GB)),
)


def target_checks() -> Iterator[Check]:
    """Open a small graph with each runtime that runs graphs; ask the others for the version of their package."""
    import onnx

    from segdistill_runtime.targets.target import Target, all_targets

    nodes = [
        onnx.helper.make_node("Cast", ["image"], ["values"], to=onnx.TensorProto.FLOAT),
        onnx.helper.make_node("ArgMax", ["values"], ["indices"], axis=3, keepdims=0),
        onnx.helper.make_node("Cast", ["indices"], ["labels"], to=onnx.TensorProto.UINT8),
    ]
    image = onnx.helper.make_tensor_value_info("image", onnx.TensorProto.UINT8, [1, 8, 8, 3])
    labels = onnx.helper.make_tensor_value_info("labels", onnx.TensorProto.UINT8, [1, 8, 8])
    graph = onnx.helper.make_graph(nodes, "probe", [image], [labels])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=9)

    def answer(target: Target) -> Answer:
        if target.suffix == ".onnx":  # being installed does not mean that it loads
            target.open("probe.onnx", lambda _: model.SerializeToString(), 1)
        return True, target.version()

    for target in all_targets():
        purpose = f"runs models on a {target.device.upper()}"
        yield Check(target.label, target.name == "onnxruntime", purpose, partial(answer, target))


def add_arguments(_: argparse.ArgumentParser) -> None:
    """Take none."""


def run(_: argparse.Namespace) -> None:
    missing = []
    for check in [*CHECKS, *target_checks()]:
        try:
            works, found = check.answer()
        except Exception as error:  # what a runtime or a driver raises shares no base class
            works, found = False, (str(error).splitlines() or [type(error).__name__])[0][:160]
        missing += [check.name] if check.needed and not works else []
        print(f"  {'yes' if works else 'NO' if check.needed else 'no':>3}  {check.name}: {found} ({check.purpose})")
    if missing:
        raise MachineError(f"`make demo` needs {', '.join(missing)}; `make setup` installs the packages")
    print("\nReady for `make demo`. It does not need what is marked no.")
