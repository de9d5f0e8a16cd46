"""Base class of the runtimes in this folder, and functions that find them."""

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from segdistill_runtime.errors import NotAvailable
from segdistill_runtime.runner import Runner
from segdistill_runtime.targets import TARGETS

Reader = Callable[[str], bytes]
"""A function that returns the bytes of a file by its name."""

GRAPHS = {"fp32": "model.onnx", "fp16": "model_fp16.onnx", "int8": "model_int8.onnx"}
"""File of each precision, for runtimes that run the graph itself."""


class Target:
    """One runtime on one kind of device. Importing its file imports none of its packages."""

    name: str  # key in TARGETS and in every record
    label: str  # name in reports
    module: str  # Python module
    device: str  # cpu or gpu
    packages: tuple[str, ...]  # names in pip; any one of them is enough, the first is recommended
    runs_files_of: str  # the target whose files it runs; itself, except for a variant of another target
    decided_with: str  # the target under whose name a release decides on this one's measurements
    suffix = ".onnx"  # suffix of the files that it opens
    sources: Mapping[str, str] = GRAPHS  # ONNX file of each precision that it runs or builds from
    triton_backend = ""  # in Triton Inference Server; empty if a bundle has no model repository for it
    bundle_files: tuple[str, ...] = ()  # files that only this target needs: of bundle_files/, or a command NAME.py

    def load(self) -> Any:
        """Import the package; raises NotAvailable if it is not installed, or cannot be loaded."""
        try:
            return importlib.import_module(self.module)
        except (ImportError, OSError) as error:  # OSError: a library of the package does not load
            raise NotAvailable(
                f"{self.name} is not installed here ({error}): pip install {self.packages[0]}"
            ) from error

    def version(self) -> str:
        return self.load().__version__

    def open(self, file: str, read: Reader, threads: int) -> Runner:
        """Load a model; raises FileRefused, or NotAvailable if the package or the device is not here.

        Args:
            file: name of the file, for `read` and for messages.
            threads: 0 lets the runtime choose.
        """
        raise NotImplementedError


def load_target(name: str) -> Target:
    return resolve_name(TARGETS[name])()


def all_targets() -> list[Target]:
    return [load_target(name) for name in TARGETS]


def read_file(name: str) -> bytes:
    return Path(name).read_bytes()


def runtimes_judged_by_onnxruntime(file: str) -> list[str]:
    """Return the runtimes of an ONNX file that ONNX Runtime's labels judge: itself, and those that build engines."""
    themselves = runtimes_judged_by_themselves()
    makers = [t for t in all_targets() if t.name == t.runs_files_of and file in t.sources.values()]
    return [target.name for target in makers if target.name not in themselves]


def runtimes_judged_by_themselves() -> list[str]:
    """Return the other runtimes that run an ONNX file unchanged; their own labels judge each of them."""
    same = [t.name for t in all_targets() if t.name == t.runs_files_of and t.suffix == ".onnx"]
    return [name for name in same if name != "onnxruntime"]
