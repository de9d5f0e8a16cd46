"""Engines of one run in every precision, with the parity that this machine can measure."""

from dataclasses import replace
from pathlib import Path

from models.checkpoint import load_checkpoint
from models.shipping import LabelsGraph, to_half
from pipeline.data.classes import ClassTable
from pipeline.data.files import sha256, write_json
from pipeline.data.samples import Sample, read_samples
from pipeline.deploy.engine import Engine, build_engines
from pipeline.deploy.onnx_export import export_graph
from pipeline.measure.parity import measure_parity, require_parity
from pipeline.params import EngineParams, ExportParams
from pipeline.runtime import Runner, RunnerUnavailable, available_threads, open_runner


def build_run_engines(
    name: str,
    engine: EngineParams,
    export: ExportParams,
    split: str,
    classes: Path,
    samples: Path,
    checkpoint: Path,
    graph: Path,
    predictions: Path,
    out: Path,
    metrics: Path,
) -> None:
    """Write out/*.engine, out/model_fp16.onnx where fp16 is asked for, and what was built and run as `metrics`.

    Raises:
        EngineError: the builder refused a graph.
        ParityError: the fp16 graph, or an engine that could be run, is over its mIoU budget.
    """
    chosen = read_samples(samples, split)
    segmenter, design, _ = load_checkpoint(checkpoint)
    graphs = {"fp32": graph}
    if "fp16" in engine.precisions:
        graphs["fp16"] = out / "model_fp16.onnx"
        half = LabelsGraph(to_half(segmenter))
        export_graph(half, design, (export.height, export.width), export.opset, export.max_nodes, graphs["fp16"])
    gate = _Gate(name, chosen, predictions, ClassTable.load(classes), engine)

    records: list[dict[str, object]] = []
    fp16_onnx: dict[str, object] | None = None
    for precision in engine.precisions:
        if precision == "fp16":
            with open_runner(graphs[precision], available_threads()) as runner:
                fp16_onnx = {**gate.check(runner, precision), "sha256": sha256(graphs[precision])}
        for built in build_engines(graphs[precision], precision, engine.compute_capabilities, out):
            executed, parity = _try_to_run(built, out, gate)
            records.append({**executed.record(), "parity": parity})
    write_json(metrics, {"run": name, "engines": records, "fp16_onnx": fp16_onnx})


class _Gate:
    """Parity over the full split against the checkpoint's predictions, blocking."""

    def __init__(self, name: str, samples: list[Sample], predictions: Path, classes: ClassTable, engine: EngineParams):
        self.name = name
        self.samples = samples
        self.predictions = predictions
        self.classes = classes
        self.limits = engine.max_miou_difference_points

    def check(self, runner: Runner, precision: str) -> dict[str, object]:
        what = f"{self.name} {precision} {runner.name}"
        parity = measure_parity(runner, self.samples, self.predictions, self.classes, what)
        require_parity(parity, what, None, self.limits[precision])  # type: ignore[reportArgumentType]
        return parity.record()


def _try_to_run(built: Engine, folder: Path, gate: _Gate) -> tuple[Engine, dict[str, object] | None]:
    """Run an engine where that is possible; otherwise say why not."""
    if built.status != "built" or built.reason:
        return built, None
    try:
        with open_runner(folder / built.file, available_threads()) as runner:
            return replace(built, executed=True), gate.check(runner, built.precision)
    except RunnerUnavailable as error:
        return replace(built, reason=str(error)), None
