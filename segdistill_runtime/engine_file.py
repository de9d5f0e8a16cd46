"""Write and read engines: the file, and the description beside it that says where the engine can be loaded.

Both are compared with each other, and with this machine, before TensorRT gets the file.
"""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from segdistill_runtime.errors import FileRefused, NotAvailable
from segdistill_runtime.verify import from_json

FORMAT = "segdistill-engine-1"
BACKENDS = ("tensorrt_rtx", "tensorrt")
REBUILD = "build it again: `dvc repro engine` in the project, `./rebuild_on_target.sh` in a bundle"
MAX_DESCRIPTION_BYTES = 1 << 20


class Description(NamedTuple):
    """Content of X.engine.json beside X.engine."""

    precision: str  # fp32, fp16, int8
    backend: str  # the Python package that builds and loads it
    version: str  # of the backend; another version cannot load the engine
    compute_capabilities: list[str]  # GPU architectures that it was built for, such as SM86
    source_file: str
    source_sha256: str
    engine_sha256: str
    bytes: int
    builder: dict[str, Any]  # flags, optimization level, workspace
    inputs: list[dict[str, Any]]  # name, shape, type
    outputs: list[dict[str, Any]]
    held_types: dict[str, int]  # number of tensors of each type in the plan; empty if unknown
    timing_cache: dict[str, Any]
    built_on: dict[str, Any]

    def file(self) -> str:
        """Return the name of the engine's file.

        Engines that differ in precision, backend, version, GPUs or source have different names.
        """
        gpus = "_".join(self.compute_capabilities)
        return f"{self.precision}-{self.backend}-{self.version}-{gpus}-{self.source_sha256[:12]}.engine"


def write_engine(folder: Path, plan: bytes, description: Description) -> Path:
    """Write the engine with its description beside it; returns the engine's path."""
    engine = folder / description.file()
    write_whole(engine, plan)
    content = {"format": FORMAT, **description._asdict()}
    write_whole(description_path(engine), (json.dumps(content, indent=2, allow_nan=False) + "\n").encode())
    return engine


def description_path(engine: Path) -> Path:
    return engine.with_name(f"{engine.name}.json")


def engines_folder(bundle: Path) -> Path:
    """Return the folder for a rebuild's engines: beside the bundle, so that the bundle stays unchanged."""
    return bundle.resolve().with_name(f"{bundle.resolve().name.removesuffix('.zip')}-engines")


def write_whole(path: Path, content: bytes) -> None:
    """Replace a file in one step, so that an interrupted run leaves no truncated file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def read_engine(engine: str, read: Callable[[str], bytes]) -> tuple[bytes, Description]:
    """Return the bytes and the description of an engine; raises FileRefused if they do not match."""
    try:
        plan = read(engine)
    except OSError as error:
        raise FileRefused(f"{engine} cannot be read: {error}") from error
    description = _read_description(f"{engine}.json", read)
    if description.backend not in BACKENDS:
        why = f"has the backend {description.backend!r} in its description, which builds no engines"
    elif len(plan) != description.bytes:
        why = f"has {len(plan)} bytes, but its description says {description.bytes}: it is truncated or another file"
    elif hashlib.sha256(plan).hexdigest() != description.engine_sha256:
        why = "is not the file that was built (SHA-256 differs from its description)"
    else:
        return plan, description
    raise FileRefused(f"{engine} {why}; copy it again, or {REBUILD}")


def _read_description(path: str, read: Callable[[str], bytes]) -> Description:
    try:
        text = read(path)
        content = json.loads(text) if len(text) <= MAX_DESCRIPTION_BYTES else None
        found = content.pop("format", None) if isinstance(content, dict) else None
        if found != FORMAT:
            raise ValueError(f"its format is {found!r}, not {FORMAT!r}")
        return from_json(Description, content)
    except FileNotFoundError as error:
        raise FileRefused(f"{path} is missing, so the GPU of the engine is unknown; {REBUILD}") from error
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise FileRefused(f"{path} is not the description of an engine ({error}); {REBUILD}") from error


def require_version(file: str, description: Description, installed: str) -> None:
    """Raise NotAvailable for an engine of another version of its package; TensorRT's own message is less clear.

    Only the parts that both versions have are compared. For the same release, JetPack says 10.3.0 and pip's package
    says 10.3.0.26.
    """
    parts = list(zip(description.version.split("."), installed.split("."), strict=False))
    if len(parts) < 3 or any(built != here for built, here in parts):
        raise NotAvailable(
            f"{file} was built by {description.backend} {description.version}, but {installed} is installed; {REBUILD}"
        )


def require_architecture(file: str, description: Description, capability: str) -> None:
    """Raise NotAvailable for an engine for other GPUs; `capability` is that of this GPU, such as SM86."""
    if capability not in description.compute_capabilities:
        raise NotAvailable(
            f"{file} was built for {', '.join(description.compute_capabilities)}; this GPU is {capability}; {REBUILD}"
        )
