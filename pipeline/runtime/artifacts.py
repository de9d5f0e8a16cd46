"""Open any artifact of the pipeline with one of the runtimes that can run it."""

import os
from pathlib import Path
from pkgutil import resolve_name

from pipeline.runtime import TORCH_RUNNERS
from segdistill_runtime.engine_file import engine_backend
from segdistill_runtime.errors import FileRefused
from segdistill_runtime.runner import Runner
from segdistill_runtime.targets.target import all_targets, load_target, read_file


def available_threads() -> int:
    """Return the number of cores that this process may use, for work that is not timed."""
    return len(os.sched_getaffinity(0))


def open_artifact(artifact: Path, threads: int, runtime: str | None = None) -> Runner:
    """Open a checkpoint, an ONNX file or an engine; the packages of a runtime are imported only when it is used.

    Args:
        runtime: who runs it; None is PyTorch for a checkpoint, ONNX Runtime on the CPU for a graph, and for an engine
            the package that it was built for.

    Raises:
        FileRefused: no such file, damaged, or not one for this runtime.
        NotAvailable: the package or the device of the runtime is not here.
    """
    if not artifact.is_file():
        raise FileRefused(f"no artifact at {artifact}; run the stage that writes it: dvc repro")
    known: dict[str, list[str]] = {".safetensors": list(TORCH_RUNNERS)}
    for target in all_targets():
        known.setdefault(target.suffix, []).append(target.name)
    able = known.get(artifact.suffix)
    if able is None:
        raise FileRefused(f"{artifact}: no runtime for {artifact.suffix!r}; known are {', '.join(known)}")
    if runtime is None:
        runtime = engine_backend(str(artifact), read_file) if artifact.suffix == ".engine" else able[0]
    if runtime not in able:
        raise FileRefused(f"{artifact}: {runtime} does not run {artifact.suffix} files; {', '.join(able)} do")
    if runtime in TORCH_RUNNERS:
        return resolve_name(TORCH_RUNNERS[runtime])(artifact, threads)
    return load_target(runtime).open(str(artifact), read_file, threads)
