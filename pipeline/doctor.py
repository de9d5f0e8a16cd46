"""Check this machine: try every program, device and runtime that the project can use.

Ends with status 1 if something that `make demo` needs does not work.
"""

import argparse
import shutil
import subprocess
import sys
from functools import partial

from pipeline.cli import missing_extra
from pipeline.errors import MachineError
from segdistill_runtime.targets.target import Target, all_targets

PROBE = """
<ir_version: 9, opset_import: ["": 20]>
probe (uint8[1, 8, 8, 3] image) => (uint8[1, 8, 8] labels) {
    values = Cast<to = 1>(image)
    indices = ArgMax<axis = 3, keepdims = 0>(values)
    labels = Cast<to = 2>(indices)
}
"""
"""A graph that every graph runtime must open, in ONNX's text format; 1 is float32 and 2 is uint8."""

Answer = tuple[bool, str]  # whether it works, and what was found


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
    free = shutil.disk_usage(folder).free / 1e9
    return free >= needed_gb, f"{free:.2f} GB free, {needed_gb:g} GB are needed"


def runtime(target: Target) -> Answer:
    """Open a small graph with a graph runtime; ask any other runtime for the version of its package."""
    import onnx.parser

    if target.suffix == ".onnx":  # an installed package may still fail to load
        target.open("probe.onnx", lambda _: onnx.parser.parse_model(PROBE).SerializeToString(), 1)
    return True, target.version()


CHECKS = (  # name, whether `make demo` needs it, purpose, answer
    ("Python", True, "runs everything", python_version),
    ("torch", True, "trains and evaluates", torch_device),
    ("git", True, "DVC needs it", partial(program, "git")),
    ("dvc", True, "runs the stages", partial(program, "dvc")),
    ("DVC remotes", False, "publish and fetch", dvc_remotes),
    ("FiftyOne's database", False, "for `make inspect`, not for the report", fiftyone_database),
    ("chromium", False, "tests of the FiftyOne App", partial(program, "chromium")),
    ("disk", True, "data, artifacts and DVC's cache", partial(free_space, ".", 5.0)),
    ("/dev/shm", False, "training.workers above 0", partial(free_space, "/dev/shm", 0.25)),
    *(
        (t.label, t.name == "onnxruntime", f"runs models on a {t.device.upper()}", partial(runtime, t))
        for t in all_targets()
    ),
)


def run(_: argparse.Namespace) -> None:
    missing = []
    for name, needed, purpose, answer in CHECKS:
        try:
            works, found = answer()
        except Exception as error:  # errors of runtimes and drivers share no base class
            works, found = False, (str(error).splitlines() or [type(error).__name__])[0][:160]
            if extra := missing_extra(error):
                found += f": make setup EXTRAS={extra}"
        missing += [name] if needed and not works else []
        print(f"  {'yes' if works else 'NO' if needed else 'no':>3}  {name}: {found} ({purpose})")
    if missing:
        raise MachineError(f"`make demo` needs {', '.join(missing)}; run `make setup` to install packages")
    print("\nReady for `make demo`. It does not need the entries marked no.")
