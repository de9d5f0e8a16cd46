"""What of all this works on this machine: python -m pipeline.doctor

A tool, not a stage. Every line is the outcome of trying the thing, not of looking up a version. The exit status is 1 if
something that the pipeline cannot do without is missing.
"""

import importlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

GIGABYTE = 1e9
NEEDED_DISK_GB = 5.0
NEEDED_SHARED_MEMORY_GB = 0.25


class Finding(NamedTuple):
    works: bool
    needed: bool  # by `make demo`
    what: str


def check_python() -> Finding:
    version = sys.version_info[:2]
    return Finding((3, 11) <= version < (3, 13), True, f"Python {sys.version.split()[0]} (3.11 or 3.12 is needed)")


def check_torch() -> Finding:
    import torch

    from pipeline.training.device import best_device, resolved_precision

    device = best_device()
    precision = resolved_precision("auto", device.type)
    name = torch.cuda.get_device_name() if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    computes = (torch.ones(2, device=device) + 1).sum().item() == 4
    return Finding(computes, True, f"torch {torch.__version__} on {name}; auto precision is {precision}")


def check_provider(provider: str, needed: bool) -> Finding:
    """Whether a session really gets the provider: what is compiled in says nothing about it."""
    import onnx
    import onnxruntime

    node = onnx.helper.make_node("Relu", ["x"], ["y"])
    ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in ("x", "y")]
    graph = onnx.helper.make_graph([node], "probe", ends[:1], ends[1:])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=9)
    onnxruntime.set_default_logger_severity(4)  # a provider that fails to load is a finding, not an alarm
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "0" if needed else "1")
    if provider not in onnxruntime.get_available_providers():
        return Finding(False, needed, f"ONNX Runtime {provider}: not compiled in")
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=[provider])
        works = session.get_providers()[0] == provider
        return Finding(works, needed, f"ONNX Runtime {onnxruntime.__version__} {provider}")
    except Exception as error:  # the runtime's own exceptions share no public base class
        return Finding(False, needed, f"ONNX Runtime {provider}: {str(error).splitlines()[0][:120]}")


def check_tensorrt_rtx() -> Finding:
    try:
        trt = importlib.import_module("tensorrt_rtx")
        return Finding(True, False, f"TensorRT for RTX {trt.__version__}: builds engines ahead of time")
    except ImportError as error:
        return Finding(False, False, f"TensorRT for RTX: {error}; engines are recorded as not built")


def check_tensorrt() -> Finding:
    if find_spec("tensorrt") is None:
        return Finding(False, False, "TensorRT (full): not installed; needed only to build for the GPU of this machine")
    trt = importlib.import_module("tensorrt")
    return Finding(True, False, f"TensorRT {trt.__version__}")


def check_mongod() -> Finding:
    purpose = "`make inspect`"
    if find_spec("fiftyone") is None:
        return Finding(False, False, f"FiftyOne: not installed; {purpose} needs it, the report has pictures without it")
    from pipeline.inspection.database import require_answer
    from pipeline.inspection.mongod import URI_VARIABLE, DatabaseError, find_mongod

    uri = os.environ.get(URI_VARIABLE)
    try:
        if uri:
            require_answer(uri)
            return Finding(True, False, f"FiftyOne's database: {uri.split('@')[-1]} (from {URI_VARIABLE}); {purpose}")
        return check_command(str(find_mongod()), f"FiftyOne's database; {purpose}", needed=False)
    except DatabaseError as error:
        return Finding(False, False, f"FiftyOne's database: {error}")


def check_command(name: str, purpose: str, needed: bool) -> Finding:
    path = shutil.which(name)
    if path is None:
        return Finding(False, needed, f"{name}: not found; {purpose}")
    run = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    said = (run.stdout or run.stderr).strip().splitlines() or [f"status {run.returncode}"]
    return Finding(run.returncode == 0, needed, f"{Path(name).name}: {said[0][:80]}; {purpose}")


def check_remotes() -> Finding:
    run = subprocess.run(["dvc", "remote", "list"], capture_output=True, text=True, check=False)
    remotes = [line.split()[0] for line in run.stdout.splitlines() if line.strip()]
    return Finding(bool(remotes), False, f"DVC remotes: {', '.join(remotes) or 'none; artifacts stay on this machine'}")


def check_disk() -> Finding:
    free = shutil.disk_usage(".").free / GIGABYTE
    return Finding(free >= NEEDED_DISK_GB, True, f"disk: {free:.1f} GB free here ({NEEDED_DISK_GB:.0f} GB are needed)")


def check_shared_memory() -> Finding:
    try:
        free = shutil.disk_usage("/dev/shm").free / GIGABYTE
    except OSError:
        return Finding(True, False, "/dev/shm: this system has none and needs none")
    return Finding(
        free >= NEEDED_SHARED_MEMORY_GB, False, f"/dev/shm: {free:.2f} GB free (with less set training.workers to 0)"
    )


CHECKS: tuple[Callable[[], Finding], ...] = (
    check_python,
    check_torch,
    lambda: check_provider("CPUExecutionProvider", needed=True),
    lambda: check_provider("CUDAExecutionProvider", needed=False),
    check_tensorrt_rtx,
    check_tensorrt,
    lambda: check_command("git", "DVC needs it", needed=True),
    lambda: check_command("dvc", "runs the stages", needed=True),
    check_remotes,
    check_mongod,
    lambda: check_command("chromium", "the tests of the App look through it", needed=False),
    check_disk,
    check_shared_memory,
)


def main() -> None:
    findings = [check() for check in CHECKS]
    for finding in findings:
        mark = "yes" if finding.works else ("NO" if finding.needed else "no")
        print(f"  {mark:>3}  {finding.what}")
    if any(finding.needed and not finding.works for finding in findings):
        sys.exit("\nNot ready: what is marked NO is needed. `make setup` installs the packages.")
    print("\nReady for `make demo`. What is marked no is not needed for it.")


if __name__ == "__main__":
    main()
