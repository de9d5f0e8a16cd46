"""Build the TensorRT engines of a run, and compare each one that runs on this machine with the checkpoint.

Without a GPU, TensorRT for RTX builds ahead of time for the given compute capabilities. With the full `tensorrt`
package and a GPU, an engine for that GPU is built too. If an engine cannot be built, the reason is recorded.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pipeline.data.classes import ClassTable
from pipeline.data.files import sha256
from pipeline.data.samples import read_samples
from pipeline.errors import ArtifactError
from pipeline.measure.machine import first_gpu
from pipeline.measure.parity import complaints, engine_budget, measure_parity
from pipeline.params.deployment import BudgetParams, EngineParams, ParityParams
from pipeline.records.artifacts import Artifact, Engine, Engines, Export, Parity, Quantization
from pipeline.records.files import read_record, write_record
from pipeline.runtime.artifacts import open_artifact
from pipeline.threads import available_threads
from segdistill_runtime.engine_build import build_engine
from segdistill_runtime.engine_file import write_engine
from segdistill_runtime.engine_target import engine_targets
from segdistill_runtime.errors import BuildFailed, NotAvailable
from segdistill_runtime.images import Resizing
from segdistill_runtime.targets.target import load_target


def build_run_engines(
    name: str, engine: EngineParams, parity: ParityParams, split: str, resizing: Resizing, classes: Path, samples: Path,
    export: Path, quantize: Path, export_metrics: Path, quantize_metrics: Path, predictions: Path,
    scratch: Path, out: Path, metrics: Path,
) -> None:  # fmt: skip
    """Write out/*.engine with a description beside each, and record in `metrics` which engines were built and run.

    Args:
        export, quantize: folders of these stages' files; `export_metrics` and `quantize_metrics` describe the files.
        predictions: folder of the checkpoint's predictions, which engines are compared with.
        scratch: folder for the kernel timings of the full TensorRT, so that repeated builds choose the same kernels.

    Raises:
        ArtifactError: a source is not the file that was measured, the builder refuses a graph, or an fp32 or fp16
            engine is over its budget.
    """
    files, sources = load_target("tensorrt").sources, []
    for precision in engine.precisions:
        if precision == "int8":
            folder, known = quantize, read_record(Quantization, quantize_metrics, "quantize").artifacts
        else:
            folder, known = export, read_record(Export, export_metrics, "export").artifacts
        sources.append((folder, find_source(folder / files[precision], known)))
    chosen, table = read_samples(samples, split), ClassTable.load(classes)
    out.mkdir(parents=True, exist_ok=True)  # stays empty if no engine is requested
    records = []
    for folder, source in sources:
        budget = engine_budget(parity, source.precision)
        for built in build_engines(source, folder, engine.compute_capabilities, scratch, out):
            record, title = built, f"{name} {built.precision} {built.backend}"
            if not built.reason:
                try:
                    with open_artifact(out / built.file, available_threads()) as runner:
                        found = measure_parity(
                            runner, resizing, chosen, predictions, table, parity.boundary_pixels, title
                        )
                        record = judge(built, found, budget)
                except NotAvailable as error:
                    record = replace(built, reason=str(error))
            records.append(record)
    write_record(metrics, Engines(run=name, engines=records))


def find_source(path: Path, artifacts: Sequence[Artifact]) -> Artifact:
    """Find the record of an ONNX file for TensorRT; raise ArtifactError if it is not the file that was measured."""
    meant = [artifact for artifact in artifacts if artifact.file == path.name and "tensorrt" in artifact.runtimes]
    if not meant or not path.is_file() or sha256(path) != meant[0].sha256:
        raise ArtifactError(f"{path} is missing or is not the file that was measured; run `dvc repro`")
    return meant[0]


def judge(built: Engine, parity: Parity, budget: BudgetParams) -> Engine:
    """Add the parity to the record. Over budget, an int8 engine is rejected, and any other raises ArtifactError."""
    over = complaints(parity, budget)
    if over and built.precision != "int8":
        raise ArtifactError(
            f"{built.file} disagrees with the checkpoint, most on image {parity.worst_image}: {'; '.join(over)}. "
            f"{built.source_file} was within its budget, so inspect the build by {built.backend} {built.version}"
        )
    return replace(built, executed=True, accepted=not over, reason="; ".join(over), parity=parity)


def build_engines(
    source: Artifact, folder: Path, compute_capabilities: Sequence[str], scratch: Path, out: Path
) -> list[Engine]:
    """Build all engines that this machine can build from one ONNX file of `folder`, each with its description.

    Raises:
        ArtifactError: the builder refused the graph.
    """
    gpu = first_gpu()
    name, here = (gpu.name, [gpu.capability]) if gpu else (None, [])
    engines = []
    for target in engine_targets():
        gpus = list(compute_capabilities) if target.ahead_of_time else here
        version = ""
        reason = "" if gpus else f"{target.name} builds only for this machine's GPU, and this machine has none"
        try:
            version = target.version()
        except NotAvailable as error:
            reason = str(error)
        if source.status == "rejected":
            reason = f"{source.file} was rejected by its own stage: {source.reason}"
        record = Engine(
            precision=source.precision, backend=target.name, version=version, compute_capabilities=gpus, file="",
            bytes=0, sha256="", source_file=source.file, source_sha256=source.sha256, status="not built",
            executed=False, accepted=None, reason=reason, parity=None,
        )  # fmt: skip
        if not reason:
            graph = (folder / source.file).read_bytes()
            try:
                plan, built = build_engine(target, source.file, graph, source.precision, gpus, name, scratch)
            except BuildFailed as error:
                raise ArtifactError(str(error)) from error
            file = write_engine(out, plan, built).name
            record = replace(
                record, file=file, bytes=len(plan), sha256=built.engine_sha256, status="built",
                reason="" if gpu else "no GPU on this machine",
            )  # fmt: skip
        engines.append(record)
    return engines
