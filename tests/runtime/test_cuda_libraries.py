"""The locked environment has every library that ONNX Runtime's CUDA provider is linked with, but the driver."""

import ctypes
import struct
from collections.abc import Iterator
from importlib.metadata import files
from pathlib import Path

import onnxruntime
import pytest

PROVIDER = Path(onnxruntime.__file__).parent / "capi" / "libonnxruntime_providers_cuda.so"
DRIVER = "libcuda.so.1"


@pytest.mark.skipif(not PROVIDER.is_file(), reason="ONNX Runtime has no CUDA provider on this platform")
def test_every_library_of_the_cuda_provider_is_there() -> None:
    needed = set(needed_libraries(PROVIDER)) - {DRIVER}
    assert any(name.startswith("libcublas") for name in needed)
    packages = PROVIDER.parents[2]
    carried = {path.name for path in (packages / "nvidia").rglob("*.so*")}
    assert files("onnxruntime-gpu"), "another package provides onnxruntime"
    assert [name for name in sorted(needed - carried) if not _loads(name)] == []


def needed_libraries(path: Path) -> Iterator[str]:
    """Yield the NEEDED entries of a 64-bit little-endian ELF file (System V ABI, chapter 5)."""
    with path.open("rb") as file:

        def at(offset: int, form: str) -> tuple[int, ...]:
            file.seek(offset)
            return struct.unpack(form, file.read(struct.calcsize(form)))

        (sections,) = at(0x28, "<Q")
        size, count = at(0x3A, "<HH")
        headers = [at(sections + size * index, "<IIQQQQIIQQ") for index in range(count)]
        dynamic = next(header for header in headers if header[1] == 6)  # SHT_DYNAMIC
        strings = headers[dynamic[6]][4]  # where the section that it links to lies
        for entry in range(dynamic[4], dynamic[4] + dynamic[5], 16):
            tag, value = at(entry, "<QQ")
            if tag == 1:  # DT_NEEDED
                file.seek(strings + value)
                yield file.read(256).partition(b"\0")[0].decode()


def _loads(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True
