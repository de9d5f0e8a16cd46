"""One run's engines from its ONNX files; how a build is done stands in bundle/on_target, which targets use as well.

Without a GPU, TensorRT for RTX builds ahead of time for the compute capabilities asked for. Where the full `tensorrt`
package and a GPU are present, an engine for that GPU is built with it as well. What cannot be built is recorded with
the reason.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from pipeline.data.files import replacing, write_text
from pipeline.deploy.bundle.on_target.engine_builder import (
    BACKENDS,
    BuildFailed,
    Settings,
    build_engine,
    load_backend,
    timing_cache_name,
)
from pipeline.deploy.bundle.on_target.engine_file import describe, description_path, engine_name
from pipeline.errors import SegdistillError


class EngineError(SegdistillError):
    """An engine that cannot be built, or that does not do what its checkpoint does."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """An ONNX file that engines are built from, and what its own stage thought of it."""

    precision: str
    path: Path
    sha256: str
    rejected: str  # why it must not be built; empty if it was accepted


@dataclass(frozen=True, kw_only=True)
class Engine:
    """One engine, or the reason why there is none."""

    precision: str
    backend: str
    version: str
    compute_capabilities: list[str]
    file: str  # name inside the run's engine folder, its description beside it; empty if not built
    bytes: int
    sha256: str
    source_file: str
    source_sha256: str
    status: str  # built, not built
    executed: bool
    accepted: bool | None  # within its budget; None if it was not executed
    reason: str  # why not built, not executed or not accepted
    parity: dict[str, object] | None

    def record(self) -> dict[str, object]:
        return asdict(self)


def build_engines(source: Source, compute_capabilities: Sequence[str], scratch: Path, out: Path) -> list[Engine]:
    """Build all engines that this machine can build from one ONNX file; each gets its description beside it.

    Args:
        scratch: where the full TensorRT keeps what it measured about kernels, so that builds choose alike.

    Raises:
        EngineError: the builder refused the graph.
    """
    return [_build_or_explain(backend, source, compute_capabilities, scratch, out) for backend in BACKENDS]


def _build_or_explain(
    backend: str, source: Source, compute_capabilities: Sequence[str], scratch: Path, out: Path
) -> Engine:
    targets = list(compute_capabilities) if BACKENDS[backend].ahead_of_time else _this_gpu()
    trt, reason = load_backend(backend)
    version = "" if trt is None else trt.__version__
    if source.rejected:
        reason = f"{source.path.name} was rejected by its own stage: {source.rejected}"
    elif trt is not None and not targets:
        reason = f"{backend} builds for the GPU of this machine, and there is none"
    if trt is None or reason:
        return Engine(
            precision=source.precision, backend=backend, version=version, compute_capabilities=targets, file="",
            bytes=0, sha256="", source_file=source.path.name, source_sha256=source.sha256, status="not built",
            executed=False, accepted=None, reason=reason, parity=None,
        )  # fmt: skip
    timing_cache = scratch / timing_cache_name(backend, version, targets)
    try:
        built = build_engine(
            trt, source.path.name, source.path.read_bytes(), source.precision, targets, _gpu_name(),
            Settings(None, None, timing_cache),
        )  # fmt: skip
    except BuildFailed as error:
        raise EngineError(str(error)) from error
    if built.timing_cache is not None:
        _write(timing_cache, built.timing_cache)
    path = out / engine_name(source.precision, backend, version, targets, source.sha256)
    _write(path, built.plan)
    write_text(description_path(path), describe(built.description))
    return Engine(
        precision=source.precision, backend=backend, version=version, compute_capabilities=targets, file=path.name,
        bytes=len(built.plan), sha256=built.description.engine_sha256, source_file=source.path.name,
        source_sha256=source.sha256, status="built", executed=False, accepted=None,
        reason="" if torch.cuda.is_available() else "no GPU on this machine", parity=None,
    )  # fmt: skip


def _this_gpu() -> list[str]:
    """Compute capability of the GPU of this machine, as a list of one; empty if there is none."""
    return ["SM{}{}".format(*torch.cuda.get_device_capability())] if torch.cuda.is_available() else []


def _gpu_name() -> str | None:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def _write(path: Path, content: bytes) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(content)
