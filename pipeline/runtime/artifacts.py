"""Open any artifact of the pipeline with one of the runtimes that can run it."""

from pathlib import Path
from pkgutil import resolve_name

from pipeline.runtime import TORCH_RUNNERS
from segdistill_runtime.engine_file import read_engine
from segdistill_runtime.errors import FileRefused
from segdistill_runtime.runner import Runner
from segdistill_runtime.targets.target import all_targets, load_target, read_file


def open_artifact(artifact: Path, threads: int, runtime: str | None = None) -> Runner:
    """Open a checkpoint, an ONNX file or an engine; the packages of a runtime are imported only when it is used.

    Args:
        runtime: name of the runtime. None chooses PyTorch for a checkpoint, ONNX Runtime on the CPU for a graph, and
            for an engine the package that it was built for.
    """
    if not artifact.is_file():
        raise FileRefused(f"{artifact} does not exist; run `dvc repro` to write it")
    suffixes = dict.fromkeys(TORCH_RUNNERS, ".safetensors") | {target.name: target.suffix for target in all_targets()}
    able = [name for name, suffix in suffixes.items() if suffix == artifact.suffix]
    if not able:
        raise FileRefused(f"{artifact}: no runtime for {artifact.suffix!r}; give a .safetensors, .onnx or .engine file")
    if runtime is None:
        is_engine = artifact.suffix == ".engine"
        runtime = read_engine(str(artifact), read_file)[1].backend if is_engine else able[0]
    if runtime not in able:
        raise FileRefused(f"{artifact}: {runtime} does not run {artifact.suffix} files; choose from {', '.join(able)}")
    if runtime in TORCH_RUNNERS:
        return resolve_name(TORCH_RUNNERS[runtime])(artifact, threads)
    return load_target(runtime).open(str(artifact), read_file, threads)
