"""Build the TensorRT engines of a run and compare those that this machine can run with the checkpoint.

Without a GPU, TensorRT for RTX builds ahead of time for the given compute capabilities. With the full `tensorrt`
package and a GPU, an engine for that GPU is built too. What cannot be built is recorded with the reason.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from pipeline.data.classes import ClassTable
from pipeline.data.files import sha256
from pipeline.data.samples import Sample, read_samples
from pipeline.errors import ArtifactError
from pipeline.measure.parity import complaints, engine_budget, measure_parity
from pipeline.params.deployment import BudgetParams, EngineParams, ParityParams
from pipeline.records.engine import Engine, Engines
from pipeline.records.export import Artifact, Export, Precision
from pipeline.records.files import read_record, write_record
from pipeline.records.parity import Parity
from pipeline.records.quantization import Quantization
from pipeline.runtime.artifacts import available_threads, open_artifact
from segdistill_runtime.engine_build import build_engine
from segdistill_runtime.engine_file import write_engine
from segdistill_runtime.engine_target import EngineTarget, engine_targets
from segdistill_runtime.errors import BuildFailed, NotAvailable
from segdistill_runtime.targets.target import load_target


@dataclass(frozen=True, kw_only=True)
class Source:
    """An ONNX file that engines are built from, and what its own stage thought of it."""

    precision: Precision
    path: Path
    sha256: str
    rejected: str  # why it must not be built; empty if it was accepted


def build_run_engines(
    name: str,
    engine: EngineParams,
    parity: ParityParams,
    split: str,
    classes: Path,
    samples: Path,
    export: Path,
    quantize: Path,
    export_metrics: Path,
    quantize_metrics: Path,
    predictions: Path,
    scratch: Path,
    out: Path,
    metrics: Path,
) -> None:
    """Write out/*.engine, each with its description beside it, and what was built and run as `metrics`.

    Args:
        export: folder of model.onnx and model_fp16.onnx.
        quantize: folder of model_int8_tensorrt.onnx.
        export_metrics: what stage export found out about its files; quantize_metrics likewise.
        predictions: folder of the checkpoint's, which engines are compared with.
        scratch: where the full TensorRT keeps its timing caches.

    Raises:
        ArtifactError: a source is not the file that was measured, the builder refused a graph, or an engine of fp32 or
            fp16 is over its budget.
    """

    def find(precision: Precision) -> Source:
        file = load_target("tensorrt").sources[precision]
        if precision == "int8":
            return read_source(quantize / file, read_record(Quantization, quantize_metrics, "quantize").artifacts)
        return read_source(export / file, read_record(Export, export_metrics, "export").artifacts)

    sources = [find(precision) for precision in engine.precisions]
    chosen, table = read_samples(samples, split), ClassTable.load(classes)
    out.mkdir(parents=True, exist_ok=True)  # empty where no engine is asked for
    records = []
    for source in sources:
        budget = engine_budget(parity, source.precision)
        for built in build_engines(source, engine.compute_capabilities, scratch, out):
            title = f"{name} {source.precision} {built.backend}"
            measured = _try_to_run(built, out, chosen, predictions, table, parity.boundary_pixels, title)
            records.append(judge(*measured, budget))
    write_record(metrics, Engines(run=name, engines=records))


def read_source(path: Path, artifacts: Sequence[Artifact]) -> Source:
    """Find what the stage that wrote an ONNX file for TensorRT recorded about it.

    Raises:
        ArtifactError: there is no record of the file, or the file is not the one that was measured.
    """
    meant = [artifact for artifact in artifacts if artifact.file == path.name and "tensorrt" in artifact.runtimes]
    if not meant or not path.is_file() or sha256(path) != meant[0].sha256:
        raise ArtifactError(f"{path} is missing or is not the file that was measured; run `dvc repro`")
    rejected = meant[0].reason or "no reason given" if meant[0].status != "accepted" else ""
    return Source(precision=meant[0].precision, path=path, sha256=meant[0].sha256, rejected=rejected)


def judge(built: Engine, parity: Parity | None, budget: BudgetParams) -> Engine:
    """Add what parity says. An int8 engine over its budget is rejected, which is a result; others are a fault.

    Raises:
        ArtifactError: an engine of fp32 or fp16 is over its budget; names the worst image.
    """
    if parity is None:
        return built
    over = complaints(parity, budget)
    if over and built.precision != "int8":
        raise ArtifactError(
            f"{built.file} disagrees with the checkpoint, most on image {parity.worst_image}: {'; '.join(over)}. "
            f"{built.source_file} was within its budget, so look at what {built.backend} {built.version} made of it"
        )
    return replace(built, executed=True, accepted=not over, reason="; ".join(over), parity=parity)


def _try_to_run(
    built: Engine,
    folder: Path,
    samples: Sequence[Sample],
    predictions: Path,
    classes: ClassTable,
    boundary_pixels: int,
    title: str,
) -> tuple[Engine, Parity | None]:
    """Run an engine over all samples where that is possible; otherwise say why not."""
    if built.status != "built" or built.reason:
        return built, None
    try:
        with open_artifact(folder / built.file, available_threads()) as runner:
            return built, measure_parity(runner, samples, predictions, classes, boundary_pixels, title)
    except NotAvailable as error:
        return replace(built, reason=str(error)), None


def build_engines(source: Source, compute_capabilities: Sequence[str], scratch: Path, out: Path) -> list[Engine]:
    """Build all engines that this machine can build from one ONNX file; each gets its description beside it.

    Args:
        scratch: where the full TensorRT keeps what it measured about kernels, so that builds choose alike.

    Raises:
        ArtifactError: the builder refused the graph.
    """
    return [_build_or_explain(target, source, compute_capabilities, scratch, out) for target in engine_targets()]


def _build_or_explain(
    target: EngineTarget, source: Source, compute_capabilities: Sequence[str], scratch: Path, out: Path
) -> Engine:
    gpus = list(compute_capabilities) if target.ahead_of_time else _this_gpu()
    version = reason = ""
    try:
        version = target.version()
        if not gpus:
            reason = f"{target.name} builds for the GPU of this machine, and there is none"
    except NotAvailable as error:
        reason = str(error)
    if source.rejected:
        reason = f"{source.path.name} was rejected by its own stage: {source.rejected}"
    if reason:
        return Engine(
            precision=source.precision, backend=target.name, version=version, compute_capabilities=gpus, file="",
            bytes=0, sha256="", source_file=source.path.name, source_sha256=source.sha256, status="not built",
            executed=False, accepted=None, reason=reason, parity=None,
        )  # fmt: skip
    onnx = source.path.read_bytes()
    try:
        plan, built = build_engine(target, source.path.name, onnx, source.precision, gpus, _gpu_name(), scratch)
    except BuildFailed as error:
        raise ArtifactError(str(error)) from error
    return Engine(
        precision=source.precision, backend=target.name, version=version, compute_capabilities=gpus,
        file=write_engine(out, plan, built).name, bytes=len(plan), sha256=built.engine_sha256,
        source_file=source.path.name, source_sha256=source.sha256, status="built", executed=False, accepted=None,
        reason="" if torch.cuda.is_available() else "no GPU on this machine", parity=None,
    )  # fmt: skip


def _this_gpu() -> list[str]:
    """Compute capability of the GPU of this machine, as a list of one; empty if there is none."""
    return ["SM{}{}".format(*torch.cuda.get_device_capability())] if torch.cuda.is_available() else []


def _gpu_name() -> str | None:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else None
