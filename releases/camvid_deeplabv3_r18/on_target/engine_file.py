"""An engine on disk: the file, and the description beside it that says where it may be loaded.

Needs Python's own library only, and nothing of the project: the project's runner and a bundle on its target both check
an engine with this file before any TensorRT sees a byte of it.
"""

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple, get_origin, get_type_hints

FORMAT = "segdistill-engine-1"
MARKS = {"tensorrt_rtx": (b"vtrt",), "tensorrt": (b"ftrt", b"ptrt")}
"""First four bytes of an engine, for each package that reads it; `ptrt` is TensorRT 8's."""
REBUILD = "build it again: `dvc repro engine` in the project, `./rebuild_on_target.sh` in a bundle"
MAX_DESCRIPTION_BYTES = 1 << 20


class EngineRefused(Exception):
    """An engine that must not be loaded here; says why, and how to get one that may."""


class EngineDamaged(EngineRefused):
    """Not the bytes that were built, on any machine."""


class Description(NamedTuple):
    """What stands in X.engine.json beside X.engine."""

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


def engine_name(precision: str, backend: str, version: str, capabilities: list[str], source_sha256: str) -> str:
    """File name of an engine: two that differ in anything that matters never share one."""
    return f"{precision}-{backend}-{version}-{'_'.join(capabilities)}-{source_sha256[:12]}.engine"


def description_path(engine: Path) -> Path:
    return engine.with_name(f"{engine.name}.json")


def describe(description: Description) -> str:
    """The description file's text."""
    return json.dumps({"format": FORMAT, **description._asdict()}, indent=2, allow_nan=False) + "\n"


def read_description(engine: Path) -> Description:
    """What the file beside an engine says about it.

    Raises:
        EngineDamaged: it is missing, no JSON, of another format, or lacks a field.
    """
    path = description_path(engine)
    try:
        if path.stat().st_size > MAX_DESCRIPTION_BYTES:
            raise EngineDamaged(f"{path} is too large for an engine's description; {REBUILD}")
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise EngineDamaged(
            f"{engine} has no {path.name} beside it, so nobody can say which GPU and version it is for; {REBUILD}"
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise EngineDamaged(f"{path} cannot be read ({error}); {REBUILD}") from error
    found = content.pop("format", None) if isinstance(content, dict) else None
    if found != FORMAT:
        raise EngineDamaged(f"{path} is not a description of format {FORMAT} (found {found!r}); {REBUILD}")
    kinds = {name: get_origin(kind) or kind for name, kind in get_type_hints(Description).items()}
    wrong = sorted(
        set(kinds) ^ set(content) | {n for n in kinds if n in content and not isinstance(content[n], kinds[n])}
    )
    if wrong:
        raise EngineDamaged(f"{path}: missing, unknown or of a wrong type are {', '.join(wrong)}; {REBUILD}")
    return Description(**content)


def read_engine(engine: Path) -> tuple[bytes, Description]:
    """The bytes of an engine, after they were found to be those that its description speaks of.

    Raises:
        EngineDamaged: no engine at all, no description, truncated, or changed in any bit.
    """
    try:
        plan = engine.read_bytes()
    except OSError as error:
        raise EngineDamaged(f"{engine} cannot be read: {error}") from error
    if not any(plan.startswith(marks) for marks in MARKS.values()):
        raise EngineDamaged(f"{engine} does not begin like a TensorRT engine ({plan[:4]!r}); {REBUILD}")
    description = read_description(engine)
    if not plan.startswith(MARKS.get(description.backend, ())):
        raise EngineDamaged(f"{engine} begins with {plan[:4]!r}, which {description.backend} does not write; {REBUILD}")
    if len(plan) != description.bytes:
        raise EngineDamaged(
            f"{engine} has {len(plan)} bytes, {description_path(engine).name} says {description.bytes}: it was cut off "
            f"or mixed up; copy it again, or {REBUILD}"
        )
    if hashlib.sha256(plan).hexdigest() != description.engine_sha256:
        raise EngineDamaged(
            f"{engine} is not the file that was built (SHA-256 differs from {description_path(engine).name}); copy it "
            f"again, or {REBUILD}"
        )
    return plan, description


def require_version(description: Description, installed: str) -> None:
    """Refuse an engine of another version of its package; TensorRT would, less clearly.

    Compared are the parts that both name: trtexec says 10.3.0 where the package of the same release says 10.3.0.26.
    """
    built, here = description.version.split("."), installed.split(".")
    shared = min(len(built), len(here))
    if shared < 3 or built[:shared] != here[:shared]:
        raise EngineRefused(
            f"this engine was built by {description.backend} {description.version}, installed is {installed}; {REBUILD}"
        )


def require_architecture(description: Description, capability: str) -> None:
    """Refuse an engine for other GPUs. `capability` is this one's, such as SM86."""
    if capability not in description.compute_capabilities:
        raise EngineRefused(
            f"this engine was built for {', '.join(description.compute_capabilities)}, this GPU is {capability}; "
            f"{REBUILD}"
        )
