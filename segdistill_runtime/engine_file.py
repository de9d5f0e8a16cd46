"""An engine on disk: the file, and the description beside it that says where it may be loaded.

Both are compared with each other, and with this machine, before any TensorRT sees a byte.
"""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, get_origin, get_type_hints

from segdistill_runtime.errors import BuildFailed, FileRefused, NotAvailable

FORMAT = "segdistill-engine-1"
MARKS = {"tensorrt_rtx": (b"vtrt",), "tensorrt": (b"ftrt", b"ptrt")}
"""First four bytes of an engine, for each package that reads it; `ptrt` is TensorRT 8's."""
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
    held_types: dict[str, int]  # tensors of each type named in the plan; empty where the plan does not say
    timing_cache: dict[str, Any]
    built_on: dict[str, Any]

    def file(self) -> str:
        """Name the engine's file: two engines that differ in anything that matters never share one."""
        gpus = "_".join(self.compute_capabilities)
        return f"{self.precision}-{self.backend}-{self.version}-{gpus}-{self.source_sha256[:12]}.engine"


class Built(NamedTuple):
    plan: bytes
    description: Description


def describe(plan: bytes, source: bytes, **facts: Any) -> Built:
    """Describe what a builder made of the ONNX file `source`; `facts` are the fields that are not hashes or sizes.

    Raises:
        BuildFailed: the bytes are not an engine of the package.
    """
    if not plan.startswith(MARKS[facts["backend"]]):
        raise BuildFailed(f"{facts['backend']} made an engine that begins with {plan[:4]!r}")
    hashes: dict[str, Any] = {
        "source_sha256": hashlib.sha256(source).hexdigest(),
        "engine_sha256": hashlib.sha256(plan).hexdigest(),
    }
    return Built(plan, Description(**facts, **hashes, bytes=len(plan)))


def write_engine(built: Built, folder: Path) -> Path:
    """Write the engine with its description beside it; returns the engine's path."""
    engine = folder / built.description.file()
    write_whole(engine, built.plan)
    content = {"format": FORMAT, **built.description._asdict()}
    write_whole(description_path(engine), (json.dumps(content, indent=2, allow_nan=False) + "\n").encode())
    return engine


def description_path(engine: Path) -> Path:
    return engine.with_name(f"{engine.name}.json")


def engines_folder(bundle: Path) -> Path:
    """Return where a rebuild writes its engines: beside the bundle, which stays as it was released."""
    return bundle.resolve().with_name(f"{bundle.resolve().name.removesuffix('.zip')}-engines")


def write_whole(path: Path, content: bytes) -> None:
    """Replace a file as a whole, so that an interrupted run leaves none that is cut off."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def read_engine(engine: str, read: Callable[[str], bytes]) -> tuple[bytes, Description]:
    """Return the bytes of an engine if they are those that its description speaks of.

    Raises:
        FileRefused: no engine at all, no description, truncated, or changed in any bit.
    """
    try:
        plan = read(engine)
    except OSError as error:
        raise FileRefused(f"{engine} cannot be read: {error}") from error
    if not any(plan.startswith(marks) for marks in MARKS.values()):
        raise FileRefused(f"{engine} does not begin like a TensorRT engine ({plan[:4]!r}); {REBUILD}")
    description = _read_description(f"{engine}.json", read)
    if not plan.startswith(MARKS.get(description.backend, ())):
        raise FileRefused(f"{engine} begins with {plan[:4]!r}, which {description.backend} does not write; {REBUILD}")
    if len(plan) != description.bytes:
        raise FileRefused(
            f"{engine} has {len(plan)} bytes, its description says {description.bytes}: it was cut off or mixed up; "
            f"copy it again, or {REBUILD}"
        )
    if hashlib.sha256(plan).hexdigest() != description.engine_sha256:
        raise FileRefused(
            f"{engine} is not the file that was built (SHA-256 differs from its description); copy it again, or "
            f"{REBUILD}"
        )
    return plan, description


def engine_backend(file: str, read: Callable[[str], bytes]) -> str:
    """Name the target that an engine was built for."""
    return read_engine(file, read)[1].backend


def _read_description(path: str, read: Callable[[str], bytes]) -> Description:
    try:
        text = read(path)
        content: Any = json.loads(text.decode("utf-8")) if len(text) <= MAX_DESCRIPTION_BYTES else None
    except FileNotFoundError as error:
        raise FileRefused(f"{path} is missing, so nobody can say which GPU the engine is for; {REBUILD}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise FileRefused(f"{path} cannot be read ({error}); {REBUILD}") from error
    found = content.pop("format", None) if isinstance(content, dict) else None
    if found != FORMAT:
        raise FileRefused(f"{path} is not a description of format {FORMAT} (found {found!r}); {REBUILD}")
    kinds = {name: get_origin(kind) or kind for name, kind in get_type_hints(Description).items()}
    wrong = set(kinds) ^ set(content) | {n for n in kinds if n in content and not isinstance(content[n], kinds[n])}
    if wrong:
        raise FileRefused(f"{path}: missing, unknown or of a wrong type are {', '.join(sorted(wrong))}; {REBUILD}")
    return Description(**content)


def require_version(file: str, description: Description, installed: str) -> None:
    """Refuse an engine of another version of its package; TensorRT would, less clearly.

    Compared are the parts that both name: trtexec says 10.3.0 where the package of the same release says 10.3.0.26.
    """
    built, here = description.version.split("."), installed.split(".")
    shared = min(len(built), len(here))
    if shared < 3 or built[:shared] != here[:shared]:
        raise NotAvailable(
            f"{file} was built by {description.backend} {description.version}, installed is {installed}; {REBUILD}"
        )


def require_architecture(file: str, description: Description, capability: str) -> None:
    """Refuse an engine for other GPUs. `capability` is this one's, such as SM86."""
    if capability not in description.compute_capabilities:
        raise NotAvailable(
            f"{file} was built for {', '.join(description.compute_capabilities)}, this GPU is {capability}; {REBUILD}"
        )
