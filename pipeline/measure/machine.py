"""Describe the machine and the package versions of a measurement."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

import pynvml

from segdistill_runtime.cuda import driver_is_missing
from segdistill_runtime.targets.target import all_targets

TELLING_FLAGS = frozenset(
    {"avx2", "fma", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "avx512_fp16"}
    | {"amx_tile", "amx_bf16", "amx_int8", "asimddp", "i8mm", "bf16", "sve"}
)
"""The CPU flags that affect the speed of convolutions."""

CPU_FOLDER = Path("/sys/devices/system/cpu")
ISA_LIMIT = "ONEDNN_MAX_CPU_ISA"


class Gpu(NamedTuple):
    name: str
    capability: str  # such as SM90


def machine_record() -> dict[str, object]:
    """Return processor, memory, GPU, settings and versions, which all affect speed; None for an unknown value."""
    gpu = first_gpu()
    return {
        "cpu": _cpu_info("model name") or platform.processor() or "unknown",
        "cpu_flags": " ".join(sorted(TELLING_FLAGS.intersection(_cpu_info("flags", "Features").split()))),  # x86, ARM
        "cpu_limited_to": os.environ.get(ISA_LIMIT),  # instructions that oneDNN (PyTorch, OpenVINO) may use
        "governor": _setting(CPU_FOLDER / "cpu0/cpufreq/scaling_governor"),
        "turbo": _turbo(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "gpu": gpu.name if gpu else None,
        "os": platform.platform(aliased=True, terse=True),
        "python": platform.python_version(),
        "torch": version("torch"),
        **{target.name: next(filter(None, map(_version, target.packages)), None) for target in all_targets()},
    }


def first_gpu() -> Gpu | None:
    """Return the first CUDA device, or None. PyTorch is imported only if there is a driver."""
    if driver_is_missing():
        return None
    import torch

    if not torch.cuda.is_available():
        return None
    return Gpu(torch.cuda.get_device_name(), "SM{}{}".format(*torch.cuda.get_device_capability()))


def load_average() -> float:
    """Return the load average of the last minute; before a measurement it should be near 0."""
    return round(os.getloadavg()[0], 2)


def peak_memory_bytes() -> int:
    """Return the peak memory of this program; what the process held before its exec is not included."""
    status = Path("/proc/self/status")
    for line in status.read_text().splitlines() if status.is_file() else ():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    import resource  # systems without /proc; here the parent's memory may be included

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def gpu_joules() -> float | None:
    """Return the energy in joules that the first GPU used since its driver was loaded; None if no GPU counts it.

    The counter belongs to the board (NVML's nvmlDeviceGetTotalEnergyConsumption, Volta and later). It also counts other
    programs on the GPU.
    """
    import torch

    if not torch.cuda.is_available():
        return None
    try:
        pynvml.nvmlInit()
        board = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(0).uuid}")
        return pynvml.nvmlDeviceGetTotalEnergyConsumption(board) / 1000  # NVML counts millijoules
    except pynvml.NVMLError:  # no permission, a partition of a GPU, or a board without a counter
        return None


def _cpu_info(*keys: str) -> str:
    """Return the first entry of /proc/cpuinfo with one of the keys; empty if there is none."""
    file = Path("/proc/cpuinfo")
    pairs = (line.partition(":") for line in file.read_text().splitlines()) if file.is_file() else ()
    return next((value.strip() for name, _, value in pairs if name.strip() in keys), "")


def _turbo() -> bool | None:
    boost, no_turbo = _setting(CPU_FOLDER / "cpufreq/boost"), _setting(CPU_FOLDER / "intel_pstate/no_turbo")
    if boost is not None:
        return boost == "1"
    return None if no_turbo is None else no_turbo == "0"


def _setting(file: Path) -> str | None:
    """Return the value of a kernel setting; None if the file is missing, as in many virtual machines."""
    return file.read_text().strip() if file.is_file() else None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
