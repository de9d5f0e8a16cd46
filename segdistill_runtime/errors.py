"""What can be wrong with a file, an input or a machine. Each message says what, where, and what to do."""

from segdistill_runtime.verify import Refused


class FileRefused(Refused):
    """A graph, an engine, an image or a contract that is missing, damaged, or not what this runtime takes."""


class InputRefused(Refused):
    """An array that is not what a graph takes."""


class NotAvailable(Refused):
    """A runtime that this machine or this bundle does not offer; another one may do."""


class BuildFailed(Refused):
    """A graph, a GPU or a timing cache that an engine builder refused."""
