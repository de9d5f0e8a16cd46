"""Build engines from ONNX files: the same code serves TensorRT for RTX and the full TensorRT.

The ONNX file determines the precision: for fp16 its tensors are fp16, for int8 it contains Q/DQ pairs. Networks are
strongly typed, so there is no calibrator and no precision flag. Strong types need TensorRT 10 or later.
"""

import hashlib
import platform
import re
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from segdistill_runtime.engine_file import Description, write_whole
from segdistill_runtime.engine_target import EngineTarget, collecting_logger
from segdistill_runtime.errors import BuildFailed

TELLING_TYPE = {"fp32": "float", "fp16": "half", "int8": "int8"}
"""The type that a plan must contain if it computes in this precision."""


def build_engine(
    target: EngineTarget,
    source_file: str,
    source: bytes,
    precision: str,
    gpus: Sequence[str],
    this_gpu: str | None,
    caches: Path,
) -> tuple[bytes, Description]:
    """Build one engine from the bytes of an ONNX file; raises BuildFailed with the reason if that is not possible.

    Args:
        source_file: name of the ONNX file, for messages and the record.
        gpus: compute capabilities to build for, such as SM86.
        this_gpu: name of the GPU of this machine, for the record.
        caches: folder of the timing caches, for targets that measure kernels.
    """
    trt = target.load()
    name = f"{trt.__name__} {trt.__version__}"
    logger = collecting_logger(trt.__name__)
    logger.lines.clear()
    builder = trt.Builder(logger)
    network = _create_network(trt, builder)  # in a variable: the parser does not keep it alive
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(source):
        complaints = [parser.get_error(i).desc() for i in range(parser.num_errors)]
        raise BuildFailed(f"{name} cannot read {source_file}: {_join(complaints + logger.lines)}")
    config = builder.create_builder_config()
    if hasattr(trt.BuilderFlag, "TF32"):
        config.clear_flag(trt.BuilderFlag.TF32)  # on by default; fp32 would have only 10 bits of mantissa
    cache, measured = caches / f"{trt.__name__}-{trt.__version__}-{'_'.join(gpus)}.timing", b""
    if target.ahead_of_time:
        _set_compute_capabilities(trt, config, gpus)
    else:
        measured = _load_timing_cache(trt, config, cache, logger)
    serialized = builder.build_serialized_network(network, config)
    if serialized is None:
        raise BuildFailed(f"{name} could not build {source_file} for {', '.join(gpus)}: {_join(logger.lines)}")
    plan = bytes(serialized)
    types = held_types(plan)
    if types and TELLING_TYPE[precision] not in types:
        raise BuildFailed(
            f"the engine of {source_file} holds {', '.join(types)} and no {TELLING_TYPE[precision]}, so it does not "
            f"compute in {precision}; use the {precision} file"
        )
    timing_cache: dict[str, Any] = {}
    if not target.ahead_of_time:
        content = bytes(config.get_timing_cache().serialize())
        write_whole(cache, content)
        before = _sha256(measured) if measured else None
        timing_cache = {"file": cache.name, "sha256_before": before, "sha256": _sha256(content)}
    return plan, Description(
        precision=precision,
        backend=target.name,
        version=trt.__version__,
        compute_capabilities=list(gpus),
        source_file=source_file,
        source_sha256=_sha256(source),
        engine_sha256=_sha256(plan),
        bytes=len(plan),
        builder={
            "flags": ["STRONGLY_TYPED"],
            "optimization_level": config.builder_optimization_level,
            "workspace_bytes": config.get_memory_pool_limit(trt.MemoryPoolType.WORKSPACE),
        },
        inputs=[_tensor(network.get_input(i)) for i in range(network.num_inputs)],
        outputs=[_tensor(network.get_output(i)) for i in range(network.num_outputs)],
        held_types=types,
        timing_cache=timing_cache,
        built_on=build_machine(this_gpu),
    )


def held_types(plan: bytes) -> dict[str, int]:
    """Count the tensors of each type in a plan, for example {'half': 133, 'uint8': 2}, to see its precision.

    The result is empty for all but TensorRT for RTX. The plan's layout is undocumented, so the result is a diagnostic
    and not a guarantee. Scratch memory does not count: it has type int8 in every plan.
    """
    count: Counter[str] = Counter()
    for block in plan.split(b"tensor={")[1:]:
        kind = re.search(rb" type=([a-z0-9]+) \}", block)
        if kind and b"is_scratchspace=1" not in block[: kind.start()]:
            count[kind[1].decode()] += 1
    return dict(sorted(count.items()))


def build_machine(gpu: str | None) -> dict[str, str | None]:
    system, machine, python = platform.system(), platform.machine(), platform.python_version()
    return {"system": system, "machine": machine, "gpu": gpu, "python": python}


def _create_network(trt: ModuleType, builder: Any) -> Any:
    """Create a network that takes its types from the graph."""
    flags = trt.NetworkDefinitionCreationFlag
    if hasattr(flags, "STRONGLY_TYPED"):
        return builder.create_network(1 << int(flags.STRONGLY_TYPED))
    if hasattr(flags, "EXPLICIT_BATCH"):
        raise BuildFailed(f"{trt.__name__} {trt.__version__} is too old: install version 10 or later")
    return builder.create_network(0)  # in this version all networks are strongly typed


def _set_compute_capabilities(trt: ModuleType, config: Any, gpus: Sequence[str]) -> None:
    known = sorted((n for n in trt.ComputeCapability.__members__ if n.startswith("SM")), key=lambda n: int(n[2:]))
    if unknown := [name for name in gpus if name not in known]:
        raise BuildFailed(
            f"{trt.__name__} {trt.__version__} cannot build for {', '.join(unknown)}, only for {', '.join(known)}. "
            f"For other GPUs, use the full TensorRT on the target"
        )
    config.num_compute_capabilities = len(gpus)
    for index, name in enumerate(gpus):
        config.set_compute_capability(trt.ComputeCapability.__members__[name], index)


def _load_timing_cache(trt: ModuleType, config: Any, path: Path, logger: Any) -> bytes:
    """Give the builder the timings of earlier builds; returns their bytes, empty if there are none."""
    content = path.read_bytes() if path.is_file() else b""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        timings = config.create_timing_cache(content)
    if timings is None or not config.set_timing_cache(timings, ignore_mismatch=False):
        raise BuildFailed(
            f"{trt.__name__} {trt.__version__} refused the timing cache {path}: it is damaged, or was made by another "
            f"version or on another GPU. Delete it ({_join(logger.lines)})"
        )
    return content


def _tensor(tensor: Any) -> dict[str, Any]:
    return {"name": tensor.name, "shape": list(tensor.shape), "type": tensor.dtype.name.lower()}


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _join(lines: Sequence[str]) -> str:
    return "; ".join(dict.fromkeys(lines)) or "it gave no reason"
