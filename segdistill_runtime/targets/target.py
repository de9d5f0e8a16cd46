"""What one runtime is: the class that each file of this folder derives, and the way to find them."""

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from segdistill_runtime.errors import NotAvailable
from segdistill_runtime.runner import Runner
from segdistill_runtime.targets import TARGETS

Reader = Callable[[str], bytes]
"""Give the bytes of a file by its name."""

GRAPHS = {"fp32": "model.onnx", "fp16": "model_fp16.onnx", "int8": "model_int8.onnx"}
"""File of each precision, for runtimes that run the graph itself."""


class Target:
    """One runtime on one kind of device. Importing its file imports none of its packages."""

    name: str  # key in TARGETS and in every record
    label: str  # in reports
    module: str  # of Python
    device: str  # cpu or gpu
    packages: tuple[str, ...]  # any of these, as pip names them, has it; the first is recommended
    runs_files_of: str  # the target whose files it runs; itself, except for a variant of another target
    decided_with: str  # the target under whose name measurements of this one decide what is released
    suffix = ".onnx"  # of the file that it opens
    sources: Mapping[str, str] = GRAPHS  # ONNX file of each precision that it runs or builds from
    triton_backend = ""  # of Triton Inference Server; empty where a bundle has no model repository for it
    bundle_files: tuple[str, ...] = ()  # that only this target needs: of bundle_files/, or a command as NAME.py

    def load(self) -> Any:
        """Import the package; raises NotAvailable if it is not installed, or cannot be loaded."""
        try:
            return importlib.import_module(self.module)
        except (ImportError, OSError) as error:  # a library of the package that cannot be loaded is an OSError
            raise NotAvailable(
                f"{self.name} is not installed here ({error}): pip install {self.packages[0]}"
            ) from error

    def version(self) -> str:
        return self.load().__version__

    def open(self, file: str, read: Reader, threads: int) -> Runner:
        """Load a model; raises FileRefused, or NotAvailable if the package or the device is not here.

        Args:
            file: its name, for `read` and for messages.
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
    """Name the runtimes of an ONNX file for which its labels in ONNX Runtime count: itself, and those that build."""
    themselves = runtimes_judged_by_themselves()
    makers = [t for t in all_targets() if t.name == t.runs_files_of and file in t.sources.values()]
    return [target.name for target in makers if target.name not in themselves]


def runtimes_judged_by_themselves() -> list[str]:
    """Name the other runtimes that run an ONNX file as it is: each is asked for its own labels."""
    same = [t.name for t in all_targets() if t.name == t.runs_files_of and t.suffix == ".onnx"]
    return [name for name in same if name != "onnxruntime"]
