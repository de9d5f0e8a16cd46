"""Engines of one run in every precision, with the parity that this machine can measure."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pipeline.data.classes import ClassTable
from pipeline.data.files import sha256, write_json
from pipeline.data.samples import Sample, read_samples
from pipeline.deploy.engine import Engine, EngineError, Source, build_engines
from pipeline.measure.parity import Parity, complaints, measure_parity
from pipeline.params.deployment import BudgetParams, EngineParams, ParityParams
from pipeline.runtime import RunnerUnavailable, available_threads, open_runner


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
        EngineError: a source is not the file that was measured, the builder refused a graph, or an engine of fp32 or
            fp16 is over its budget.
    """
    files = {
        "fp32": (export / "model.onnx", export_metrics),
        "fp16": (export / "model_fp16.onnx", export_metrics),
        "int8": (quantize / "model_int8_tensorrt.onnx", quantize_metrics),
    }
    sources = [read_source(precision, *files[precision]) for precision in engine.precisions]
    chosen, table = read_samples(samples, split), ClassTable.load(classes)
    out.mkdir(parents=True, exist_ok=True)  # empty where no engine is asked for
    records = []
    for source, precision in zip(sources, engine.precisions, strict=True):
        budget = parity.budget(precision, engine=True)
        for built in build_engines(source, engine.compute_capabilities, scratch, out):
            title = f"{name} {precision} {built.backend}"
            measured = _try_to_run(built, out, chosen, predictions, table, parity.boundary_pixels, title)
            records.append(judge(measured[0], measured[1], budget).record())
    write_json(metrics, {"run": name, "engines": records})


def read_source(precision: str, path: Path, metrics: Path) -> Source:
    """An ONNX file with the verdict of the stage that wrote it.

    Raises:
        EngineError: the stage left no record of the file, or the file is not the one that it measured.
    """
    try:
        records = json.loads(metrics.read_text(encoding="utf-8"))["artifacts"]
        meant = {record["file"]: record for record in records if "tensorrt" in record["runtimes"]}
        record = meant[path.name]
        rejected = record["reason"] or "no reason given" if record["status"] != "accepted" else ""
        expected = record["sha256"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise EngineError(f"{metrics} says nothing usable about {path.name} ({error!r}); run dvc repro") from error
    if not path.is_file() or sha256(path) != expected:
        raise EngineError(f"{path} is missing or is not the file that {metrics} speaks of; run dvc repro")
    return Source(precision=precision, path=path, sha256=expected, rejected=rejected)


def judge(built: Engine, parity: Parity | None, budget: BudgetParams) -> Engine:
    """Add what parity says. An int8 engine over its budget is rejected, which is a result; others are a fault.

    Raises:
        EngineError: an engine of fp32 or fp16 is over its budget; names the worst image.
    """
    if parity is None:
        return built
    over = complaints(parity, budget)
    if over and built.precision != "int8":
        raise EngineError(
            f"{built.file} disagrees with the checkpoint, most on image {parity.worst_image}: {'; '.join(over)}. "
            f"{built.source_file} was within its budget, so look at what {built.backend} {built.version} made of it"
        )
    return replace(built, executed=True, accepted=not over, reason="; ".join(over), parity=parity.record())


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
        with open_runner(folder / built.file, available_threads()) as runner:
            return built, measure_parity(runner, samples, predictions, classes, boundary_pixels, title)
    except RunnerUnavailable as error:
        return replace(built, reason=str(error)), None
