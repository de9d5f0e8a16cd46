"""What can be wrong with a file, an input or a machine. Each message says what, where, and what to do."""

import re

from segdistill_runtime.verify import Refused

# What NumPy, OpenCV, PyTorch, ONNX Runtime, CUDA and the system say, each in its own way.
NO_MEMORY = re.compile(
    r"MemoryError|OutOfMemory|(out of|insufficient|not enough) memory|(can(no|')t|failed to) allocate memory|"
    r"bad.?alloc|Errno 12\b",
    re.IGNORECASE,
)


def lacks_memory(error: BaseException) -> bool:
    """Tell whether memory ran out, of the host or of a GPU: no two packages have one exception for it."""
    return bool(NO_MEMORY.search(f"{type(error).__name__}: {error}"))


class FileRefused(Refused):
    """A graph, an engine, an image or a contract that is missing, damaged, or not what this runtime takes."""


class InputRefused(Refused):
    """An array that is not what a graph takes."""


class NotAvailable(Refused):
    """A runtime that this machine or this bundle does not offer; another one may do."""


class BuildFailed(Refused):
    """A graph, a GPU or a timing cache that an engine builder refused."""
