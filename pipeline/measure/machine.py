"""What machine and which versions made a number."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def machine_record() -> dict[str, object]:
    """Processor, memory, GPU and the versions that decide about speed."""
    import torch  # here, not above: a process that measures ONNX Runtime must not carry PyTorch's memory

    return {
        "cpu": _cpu_name(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "os": platform.platform(aliased=True, terse=True),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "onnxruntime": _version("onnxruntime-gpu"),
        "tensorrt_rtx": _version("tensorrt-rtx-cu13"),
    }


def peak_memory_bytes() -> int:
    """The most memory that this program has held; what the process was before it became this program does not count."""
    status = Path("/proc/self/status")
    for line in status.read_text().splitlines() if status.is_file() else ():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    import resource  # systems without /proc; there the parent's may be counted in

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _cpu_name() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
