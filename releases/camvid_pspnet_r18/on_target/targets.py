"""What can build engines here: one of TensorRT's Python packages, or trtexec."""

from collections.abc import Callable, Sequence
from typing import Any

from .cuda_runtime import CudaRuntime, CudaUnavailable
from .engine_builder import load_backend
from .session import PythonTarget
from .trtexec import TrtexecTarget, find_trtexec

AUTO = "auto"


class NoTarget(Exception):
    """Nothing on this machine can do what was asked for; says what is missing."""


def choose_target(
    backend: str, build_only: bool, capabilities: Sequence[str] | None, released: Sequence[dict[str, Any]]
) -> PythonTarget | TrtexecTarget:
    """The full TensorRT before trtexec before TensorRT for RTX, unless one was named.

    Args:
        backend: auto, tensorrt, trtexec or tensorrt_rtx.
        build_only: no GPU is used, so only TensorRT for RTX will do.
        capabilities: GPUs to build for, such as SM86; only with `build_only`, where None stands for those of
            `released`, the descriptions of the bundle's own engines.

    Raises:
        NoTarget: none of them can, with the reason of each; or there is no GPU, and engines are to be run.
    """
    if build_only:
        return _ahead_of_time(backend, capabilities, released)
    if capabilities:
        raise NoTarget("--compute-capabilities goes with --build-only; otherwise engines are for this GPU")
    try:
        cuda = CudaRuntime()
    except CudaUnavailable as error:
        raise NoTarget(f"there is no GPU to run engines on: {error}. Without one: --build-only") from error
    attempts: dict[str, Callable[[], tuple[PythonTarget | TrtexecTarget | None, str]]] = {
        "tensorrt": lambda: _python_target("tensorrt", cuda),
        "trtexec": lambda: _trtexec_target(cuda),
        "tensorrt_rtx": lambda: _python_target("tensorrt_rtx", cuda),
    }
    reasons = []
    for name in attempts if backend == AUTO else [backend]:
        target, reason = attempts[name]()
        if target is not None:
            return target
        reasons.append(reason)
    raise NoTarget(f"nothing here can build an engine: {'; '.join(reasons)}")


def _ahead_of_time(
    backend: str, capabilities: Sequence[str] | None, released: Sequence[dict[str, Any]]
) -> PythonTarget:
    if backend not in (AUTO, "tensorrt_rtx"):
        raise NoTarget(f"--build-only needs tensorrt_rtx: {backend} builds for the GPU of this machine")
    trt, reason = load_backend("tensorrt_rtx")
    if trt is None:
        raise NoTarget(f"--build-only needs TensorRT for RTX: {reason}")
    shipped = (engine["compute_capabilities"] for engine in released if engine.get("backend") == "tensorrt_rtx")
    targets = capabilities or next(shipped, None)
    if not targets:
        raise NoTarget("this bundle has no engines to take the GPUs from; name them: --compute-capabilities SM86")
    return PythonTarget(trt, list(targets), None)


def _python_target(backend: str, cuda: CudaRuntime) -> tuple[PythonTarget | None, str]:
    trt, reason = load_backend(backend)
    return (None, reason) if trt is None else (PythonTarget(trt, [cuda.capability()], cuda), "")


def _trtexec_target(cuda: CudaRuntime) -> tuple[TrtexecTarget | None, str]:
    trtexec, reason = find_trtexec()
    return (None, reason) if trtexec is None else (TrtexecTarget(trtexec, cuda.capability()), "")
