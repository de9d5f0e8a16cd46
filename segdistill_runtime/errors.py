"""Errors of files, inputs and machines. Each message says what is wrong, where, and what to do."""

import re

from segdistill_runtime.verify import Refused

# Messages of NumPy, OpenCV, PyTorch, ONNX Runtime, CUDA and the system when memory runs out.
NO_MEMORY = re.compile(
    r"MemoryError|OutOfMemory|(out of|insufficient|not enough) memory|(can(no|')t|failed to) allocate memory|"
    r"bad.?alloc|Errno 12\b",
    re.IGNORECASE,
)


def lacks_memory(error: BaseException) -> bool:
    """Return whether host or GPU memory ran out; matches text, because packages share no exception for it."""
    return bool(NO_MEMORY.search(f"{type(error).__name__}: {error}"))


class FileRefused(Refused):
    """A graph, an engine, an image or a contract that is missing, damaged, or unsuitable for this runtime."""


class InputRefused(Refused):
    """An array whose type or shape does not fit the graph."""


class NotAvailable(Refused):
    """A runtime that this machine or this bundle does not offer; another runtime may work."""


class BuildFailed(Refused):
    """A graph, a GPU or a timing cache that an engine builder refused."""
