"""Call CUDA's runtime library through ctypes: the few functions that an engine needs.

So a target needs no further package.
"""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path

from segdistill_runtime.errors import NotAvailable

NAMES = ("libcudart.so.13", "libcudart.so.12", "libcudart.so.11.0", "libcudart.so")
TO_DEVICE, TO_HOST = 1, 2  # cudaMemcpyKind
# They exist where a driver is loaded: on a PC, on a Jetson, and on Linux in Windows.
DRIVERS = Path("/proc/driver/nvidia/version"), Path("/sys/module/nvgpu"), Path("/dev/dxg")
NO_DEVICE = "there is no CUDA device here: no NVIDIA driver is loaded"
CAPABILITY_MAJOR, CAPABILITY_MINOR = 75, 76  # cudaDeviceAttr


class CudaRuntime:
    """Memory and one stream of the first GPU; a call that fails raises NotAvailable."""

    def __init__(self) -> None:
        """Use the first library that works with the driver; several versions may be installed."""
        self.stream = ctypes.c_void_p()
        reasons = []
        for self.cudart in _libraries():
            self.cudart.cudaGetErrorString.restype = ctypes.c_char_p
            try:
                self._call("cudaStreamCreate", ctypes.byref(self.stream))
                return
            except NotAvailable as error:
                reasons.append(str(error))
        if driver_is_missing():
            raise NotAvailable(NO_DEVICE)
        if not reasons:
            raise NotAvailable(
                f"no CUDA runtime library ({', '.join(NAMES)}) was found: install CUDA, or add its folder to "
                f"LD_LIBRARY_PATH"
            )
        raise NotAvailable(f"{'; '.join(dict.fromkeys(reasons))}; the driver may be too old for this CUDA: update it")

    def capability(self) -> str:
        """Return the GPU's compute capability, such as SM87."""
        name, value = "SM", ctypes.c_int()
        for attribute in (CAPABILITY_MAJOR, CAPABILITY_MINOR):
            self._call("cudaDeviceGetAttribute", ctypes.byref(value), ctypes.c_int(attribute), ctypes.c_int(0))
            name += str(value.value)
        return name

    def allocate(self, size: int) -> int:
        """Allocate `size` bytes on the GPU and return their address."""
        pointer = ctypes.c_void_p()
        self._call("cudaMalloc", ctypes.byref(pointer), ctypes.c_size_t(size))
        return int(pointer.value or 0)

    def free(self, address: int) -> None:
        self._call("cudaFree", ctypes.c_void_p(address))

    def copy(self, target: int, source: int, size: int, direction: int) -> None:
        """Queue a copy on the stream; both addresses must stay valid until `synchronize`."""
        self._call(
            "cudaMemcpyAsync", ctypes.c_void_p(target), ctypes.c_void_p(source), ctypes.c_size_t(size),
            ctypes.c_int(direction), self.stream,
        )  # fmt: skip

    def synchronize(self) -> None:
        self._call("cudaStreamSynchronize", self.stream)

    def _call(self, function: str, *arguments: object) -> None:
        status = getattr(self.cudart, function)(*arguments)
        if status != 0:
            said = self.cudart.cudaGetErrorString(status)
            raise NotAvailable(f"{function} failed: {said.decode() if said else f'error {status}'}")


def driver_is_missing() -> bool:
    """Return True on Linux without an NVIDIA driver; False on other systems, where this is unknown."""
    return sys.platform == "linux" and not any(driver.exists() for driver in DRIVERS)


def _libraries() -> Iterator[ctypes.CDLL]:
    folders = (Path("/usr/local/cuda/lib64"), *(Path(entry) / "nvidia" for entry in sys.path if entry))
    found = (str(path) for folder in folders if folder.is_dir() for path in sorted(folder.glob("**/libcudart.so*")))
    for candidate in chain(NAMES, found):
        with suppress(OSError):  # missing, or for another system: try the next
            yield ctypes.CDLL(candidate)
