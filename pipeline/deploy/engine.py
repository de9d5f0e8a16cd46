"""TensorRT engines from ONNX; TensorRT is imported here and in the TensorRT runner only.

Without a GPU, TensorRT for RTX builds ahead of time for the compute capabilities asked for. Where the full `tensorrt`
package and a GPU are present, an engine for that GPU is built with it as well. What cannot be built or run is recorded
with the reason.
"""

import importlib
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from pipeline.data.files import replacing, sha256
from pipeline.errors import SegdistillError

MAGIC = {"tensorrt_rtx": b"vtrt", "tensorrt": b"ftrt"}


class EngineError(SegdistillError):
    """An engine that the builder refused, with its own words."""


@dataclass(frozen=True, kw_only=True)
class Engine:
    """One engine, or the reason why there is none."""

    precision: str
    backend: str
    version: str
    compute_capabilities: list[str]
    file: str  # name inside the run's engine folder; empty if not built
    bytes: int
    sha256: str
    source_sha256: str  # of the ONNX file
    status: str  # built, not built
    executed: bool
    reason: str  # why not built, or why not executed

    def record(self) -> dict[str, object]:
        return asdict(self)


def build_engines(graph: Path, precision: str, compute_capabilities: Sequence[str], out: Path) -> list[Engine]:
    """Build all engines that this machine can build from one ONNX file (its types decide the precision)."""
    return [
        _build_or_explain("tensorrt_rtx", graph, precision, compute_capabilities, out),
        _build_or_explain("tensorrt", graph, precision, [], out),
    ]


def _build_or_explain(
    backend: str, graph: Path, precision: str, compute_capabilities: Sequence[str], out: Path
) -> Engine:
    source = sha256(graph)
    trt, reason = _import(backend)
    version = "" if trt is None else trt.__version__
    if trt is None or reason:
        return Engine(
            precision=precision, backend=backend, version=version, compute_capabilities=list(compute_capabilities),
            file="", bytes=0, sha256="", source_sha256=source, status="not built", executed=False, reason=reason,
        )  # fmt: skip
    targets = list(compute_capabilities) or [f"SM{''.join(map(str, torch.cuda.get_device_capability()))}"]
    serialized = _build(trt, graph, compute_capabilities)
    if serialized[:4] != MAGIC[backend]:
        raise EngineError(
            f"{backend} {version} returned an engine that begins with {serialized[:4]!r}, not its own mark"
        )
    path = out / f"{precision}-{backend}-{version}-{'_'.join(targets)}.engine"
    with replacing(path) as temporary:
        temporary.write_bytes(serialized)
    return Engine(
        precision=precision, backend=backend, version=version, compute_capabilities=targets, file=path.name,
        bytes=path.stat().st_size, sha256=sha256(path), source_sha256=source, status="built", executed=False,
        reason="" if torch.cuda.is_available() else "no GPU on this machine",
    )  # fmt: skip


def _import(backend: str) -> tuple[ModuleType | None, str]:
    """The package if it is here, and the reason why it cannot build, if there is one."""
    try:
        trt = importlib.import_module(backend)
    except ImportError as error:
        return None, f"package {backend} is not installed here ({error})"
    if backend == "tensorrt" and not torch.cuda.is_available():
        return trt, "tensorrt builds for the GPU of this machine, and there is none"
    return trt, ""


def _build(trt: ModuleType, graph: Path, compute_capabilities: Sequence[str]) -> bytes:
    """Parse and build; the graph is strongly typed, so the engine computes in the types of the ONNX file."""
    logger = _collecting_logger(trt.__name__)
    logger.lines.clear()
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse_from_file(str(graph)):
        complaints = [parser.get_error(i).desc() for i in range(parser.num_errors)]
        raise EngineError(f"{trt.__name__} cannot read {graph}: {'; '.join(complaints + logger.lines)}")
    config = builder.create_builder_config()
    if compute_capabilities:
        config.num_compute_capabilities = len(compute_capabilities)
        for index, name in enumerate(compute_capabilities):
            config.set_compute_capability(getattr(trt.ComputeCapability, name), index)
    serialized = builder.build_serialized_network(network, config)
    if serialized is None:
        raise EngineError(
            f"{trt.__name__} {trt.__version__} could not build {graph} for {', '.join(compute_capabilities)}: "
            f"{'; '.join(logger.lines) or 'it gave no reason'}"
        )
    return bytes(serialized)


@cache
def _collecting_logger(package: str) -> Any:
    """TensorRT wants one logger for the life of the process; this one keeps what it is told for our messages."""
    trt = importlib.import_module(package)

    class Collecting(trt.ILogger):
        def __init__(self) -> None:
            super().__init__()
            self.lines: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
                self.lines.append(re.sub(r"\s+", " ", message))

    return Collecting()


def held_types(engine: bytes) -> set[str]:
    """Numeric types named in a TensorRT for RTX engine, for example {'half', 'uint8'}: shows what it computes in.

    The layout is undocumented; the text is a diagnostic and not a promise.
    """
    return {match.decode() for match in re.findall(rb"type=(float|half|bf16|int8|uint8)", engine)}
