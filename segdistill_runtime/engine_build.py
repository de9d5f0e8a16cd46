"""Engines from ONNX files, with TensorRT for RTX and with the full TensorRT from one definition.

Precision stands in the ONNX file: fp16 is a file in fp16, int8 a file with Q/DQ pairs. There is no calibrator and no
precision flag, which is the only way in TensorRT 11 and the sound one in 10. TensorRT before 10 has no strongly typed
networks; there the flags of the precision are set, and the Q/DQ pairs still bring the scales.
"""

import hashlib
import importlib
import platform
import re
import warnings
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from segdistill_runtime.engine_file import Built, describe, write_whole
from segdistill_runtime.errors import BuildFailed

WEAK_FLAGS = {"fp32": (), "fp16": ("FP16",), "int8": ("FP16", "INT8")}
"""Builder flags of each precision where networks cannot be strongly typed."""
TELLING_TYPE = {"fp32": "float", "fp16": "half", "int8": "int8"}
"""The type that a plan must hold if it computes in the precision that was asked for."""


class Settings(NamedTuple):
    """What a build may be told; None leaves TensorRT's own value, which the description records."""

    workspace_mebibytes: int | None
    optimization_level: int | None  # 0..5
    timing_cache: Path | None  # read if it is there, and written again


def timing_cache_name(backend: str, version: str, capabilities: Sequence[str]) -> str:
    """A cache is of one version and one GPU, so its name says both."""
    return f"{backend}-{version}-{'_'.join(capabilities)}.timing"


def build_engine(
    trt: ModuleType,
    source_file: str,
    source: bytes,
    precision: str,
    capabilities: Sequence[str],
    gpu: str | None,
    settings: Settings,
    ahead_of_time: bool,
) -> Built:
    """Build one engine.

    Args:
        source_file: name of the ONNX file, for messages and the record; `source` is what stands in it.
        capabilities: GPUs that it is for, such as SM86.
        gpu: name of the GPU of this machine, for the record.
        ahead_of_time: for GPUs that need not be here; otherwise kernels are measured, and the timing cache is kept.

    Raises:
        BuildFailed: an unknown target, a graph that cannot be parsed or built, a timing cache of another machine, or a
            plan that does not compute in `precision`.
    """
    name = f"{trt.__name__} {trt.__version__}"
    logger = collecting_logger(trt.__name__)
    logger.lines.clear()
    builder = trt.Builder(logger)
    network, typed = _create_network(trt, builder)  # kept in a variable: the parser does not hold on to it
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(source):
        complaints = [parser.get_error(i).desc() for i in range(parser.num_errors)]
        raise BuildFailed(f"{name} cannot read {source_file}: {_join(complaints + logger.lines)}")
    config = builder.create_builder_config()
    flags = ["STRONGLY_TYPED"] if typed else _set_weak_flags(trt, config, precision)
    if hasattr(trt.BuilderFlag, "TF32"):
        config.clear_flag(trt.BuilderFlag.TF32)  # on by default, and fp32 would then mean 10 bits of mantissa
    if settings.workspace_mebibytes is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, settings.workspace_mebibytes << 20)
    if settings.optimization_level is not None:
        config.builder_optimization_level = settings.optimization_level
    if ahead_of_time:
        _set_compute_capabilities(trt, config, capabilities)
    cache_before = _load_timing_cache(trt, config, settings.timing_cache, logger) if not ahead_of_time else None
    serialized = builder.build_serialized_network(network, config)
    if serialized is None:
        raise BuildFailed(f"{name} could not build {source_file} for {', '.join(capabilities)}: {_join(logger.lines)}")
    plan = bytes(serialized)
    types = held_types(plan)
    if types and TELLING_TYPE[precision] not in types:
        raise BuildFailed(
            f"the engine of {source_file} holds {', '.join(types)} and no {TELLING_TYPE[precision]}, so it does not "
            f"compute in {precision}; is this the {precision} file?"
        )
    cache_after = bytes(config.get_timing_cache().serialize()) if cache_before is not None else None
    built = describe(
        plan,
        source,
        precision=precision,
        backend=trt.__name__,
        version=trt.__version__,
        compute_capabilities=list(capabilities),
        source_file=source_file,
        builder={
            "flags": flags,
            "optimization_level": config.builder_optimization_level,
            "workspace_bytes": config.get_memory_pool_limit(trt.MemoryPoolType.WORKSPACE),
        },
        inputs=[_tensor(network.get_input(i)) for i in range(network.num_inputs)],
        outputs=[_tensor(network.get_output(i)) for i in range(network.num_outputs)],
        held_types=types,
        timing_cache=timing_cache_record(settings.timing_cache, cache_before, cache_after),
        built_on=build_machine(gpu),
    )
    if cache_after is not None and settings.timing_cache is not None:
        write_whole(settings.timing_cache, cache_after)
    return built


def held_types(plan: bytes) -> dict[str, int]:
    """How many tensors of each type a plan names, for example {'half': 133, 'uint8': 2}; shows what it computes in.

    TensorRT for RTX only; elsewhere empty. The layout is undocumented: a diagnostic, and not a promise. Scratch memory
    is left out: it is of type int8 in every plan.
    """
    count: Counter[str] = Counter()
    for block in plan.split(b"tensor={")[1:]:
        kind = re.search(rb" type=([a-z0-9]+) \}", block)
        if kind and b"is_scratchspace=1" not in block[: kind.start()]:
            count[kind[1].decode()] += 1
    return dict(sorted(count.items()))


def build_machine(gpu: str | None) -> dict[str, str | None]:
    return {
        "system": platform.system(),
        "machine": platform.machine(),
        "gpu": gpu,
        "python": platform.python_version(),
    }


def _create_network(trt: ModuleType, builder: Any) -> tuple[Any, bool]:
    """A network, and whether it takes its types from the graph."""
    flags = trt.NetworkDefinitionCreationFlag
    if hasattr(flags, "STRONGLY_TYPED"):
        return builder.create_network(1 << int(flags.STRONGLY_TYPED)), True
    if hasattr(flags, "EXPLICIT_BATCH"):  # before TensorRT 10
        return builder.create_network(1 << int(flags.EXPLICIT_BATCH)), False
    return builder.create_network(0), True  # nothing else is left to choose


def _set_weak_flags(trt: ModuleType, config: Any, precision: str) -> list[str]:
    for name in WEAK_FLAGS[precision]:
        config.set_flag(getattr(trt.BuilderFlag, name))
    return list(WEAK_FLAGS[precision])


def _set_compute_capabilities(trt: ModuleType, config: Any, capabilities: Sequence[str]) -> None:
    known = sorted((n for n in trt.ComputeCapability.__members__ if n.startswith("SM")), key=lambda n: int(n[2:]))
    if unknown := [name for name in capabilities if name not in known]:
        raise BuildFailed(
            f"{trt.__name__} {trt.__version__} does not build for {', '.join(unknown)}; it knows {', '.join(known)}. "
            f"For other GPUs use the full TensorRT on the target itself"
        )
    config.num_compute_capabilities = len(capabilities)
    for index, name in enumerate(capabilities):
        config.set_compute_capability(trt.ComputeCapability.__members__[name], index)


def _load_timing_cache(trt: ModuleType, config: Any, path: Path | None, logger: Any) -> bytes:
    """Give the builder what earlier builds measured; returns those bytes, empty if there are none yet."""
    content = path.read_bytes() if path is not None and path.is_file() else b""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        timings = config.create_timing_cache(content)
    if timings is None or not config.set_timing_cache(timings, ignore_mismatch=False):
        raise BuildFailed(
            f"{trt.__name__} {trt.__version__} refused the timing cache {path}: it is damaged, or was made by another "
            f"version or on another GPU. Remove it or name another file ({_join(logger.lines)})"
        )
    return content


def timing_cache_record(path: Path | None, before: bytes | None, after: bytes | None) -> dict[str, str | None]:
    if before is None or after is None:
        return {"file": None, "sha256_before": None, "sha256": None, "note": "not used by this backend"}
    return {
        "file": path.name if path is not None else None,
        "sha256_before": _sha256(before) if before else None,
        "sha256": _sha256(after),
        "note": "" if path is not None else "not kept: the next build may choose other kernels",
    }


def _tensor(tensor: Any) -> dict[str, Any]:
    return {"name": tensor.name, "shape": list(tensor.shape), "type": tensor.dtype.name.lower()}


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _join(lines: Sequence[str]) -> str:
    return "; ".join(dict.fromkeys(lines)) or "it gave no reason"


@cache
def collecting_logger(package: str) -> Any:
    """TensorRT wants one logger for the life of the process; this one keeps what it is told for our messages."""
    trt = importlib.import_module(package)

    class Collecting(trt.ILogger):
        def __init__(self) -> None:
            super().__init__()
            self.lines: list[str] = []

        def log(self, severity: Any, msg: str) -> None:
            if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
                self.lines.append(re.sub(r"\s+", " ", msg))

    return Collecting()
