"""int8 for one run: ranges from training images, layers chosen on validation images, judged on the evaluation split."""

import functools
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from models.build import Design
from models.checkpoint import load_checkpoint
from models.segmenter import Segmenter
from models.shipping import LabelsGraph
from pipeline.data.classes import ClassTable
from pipeline.data.files import sha256, write_json
from pipeline.data.images import read_image
from pipeline.data.samples import read_samples
from pipeline.deploy.judged import JudgedGraph, judge, judge_on_openvino
from pipeline.deploy.onnx_export import export_graph
from pipeline.deploy.probing import Divergence, Probe, first_divergence
from pipeline.distillation.student import student_objective
from pipeline.measure.parity import Parity, measure_parity
from pipeline.params.deployment import BudgetParams, ExportParams, ParityParams, QuantizationParams
from pipeline.params.methods import MethodsParams
from pipeline.params.runs import RunParams
from pipeline.params.training import TrainingParams
from pipeline.quantization.calibration import choose_calibration, spread, write_calibration
from pipeline.quantization.choice import Choice, Jury, Layer, choose_layers, judge_layers
from pipeline.quantization.fine_tuning import rounded_for_training, without_rounding
from pipeline.quantization.quantizer import Quantizer, Target, open_quantized
from pipeline.runtime import InputShape, Runner
from pipeline.training.class_weights import balanced_classes
from pipeline.training.device import launch
from pipeline.training.draws import training_draws
from pipeline.training.loop import fit
from pipeline.training.objective import Task
from pipeline.training.resume import fingerprint, scratch_folder

FILES: dict[Target, str] = {"cpu": "model_int8.onnx", "tensorrt": "model_int8_tensorrt.onnx"}
RUNTIMES: dict[Target, list[str]] = {"cpu": ["onnxruntime"], "tensorrt": ["tensorrt"]}
DIVERGED = 0.3  # relative error of a layer's output that is more than the rounding to int8 of those before it


@dataclass(frozen=True, kw_only=True)
class Paths:
    """Where the stages before left their files."""

    classes: Path
    samples: Path
    statistics: Path
    teacher: Path
    checkpoint: Path
    graph: Path  # model.onnx
    predictions: Path  # of the checkpoint on the evaluation split
    scratch: Path


@dataclass(frozen=True, kw_only=True)
class Source:
    """A float graph on the way to int8, with what was found out about it."""

    quantizer: Quantizer
    choices: dict[Target, Choice]
    layers: list[Layer]  # judged one by one; none if that was not needed

    @property
    def within_budget(self) -> bool:
        return all(choice.within_budget for choice in self.choices.values())

    @property
    def lost_points(self) -> float:
        return max(choice.parity.miou_lost_points for choice in self.choices.values())


def quantize_run(
    name: str,
    run: RunParams,
    methods: MethodsParams,
    training: TrainingParams,
    quantization: QuantizationParams,
    parity: ParityParams,
    export: ExportParams,
    split: str,
    paths: Paths,
    out: Path,
    metrics: Path,
) -> None:
    """Write out/model_int8.onnx, out/model_int8_tensorrt.onnx, out/calibration.csv, and `metrics`.

    Layers stay in floating point until the judged images lose no more than a share of the budget's points. Where that
    is not reached, the student is trained on with rounding, if the parameters allow it, and all is done again with
    what became of it. A graph that is over its budget on the evaluation split is recorded as rejected.

    Raises:
        CalibrationError: training images that no ranges can be taken from.
    """
    table = ClassTable.load(paths.classes)
    chosen = choose_calibration(
        read_samples(paths.samples, "train"), quantization.calibration_images, export.height, export.width
    )
    images = [read_image(sample.image, sample.image_sha256)[None] for sample in chosen]
    write_calibration(out / "calibration.csv", chosen)
    judged = spread(read_samples(paths.samples, quantization.judged_on), quantization.judged_images)
    jury = Jury(judged, table, parity.boundary_pixels, paths.graph)

    scratch = paths.scratch / "quantization" / name
    source = _prepare(name, paths.graph, images, quantization, parity, export, jury, scratch / "trained")
    fine_tuned = not source.within_budget and quantization.fine_tuning.iterations > 0
    if fine_tuned:
        segmenter, design, _ = load_checkpoint(paths.checkpoint)
        graph = scratch / "fine_tuned" / "model.onnx"
        _fine_tune(name, segmenter, design, run, methods, training, quantization, table, images, paths)
        shape = InputShape(1, export.height, export.width)
        export_graph(LabelsGraph(segmenter), design, shape, export.opset, export.max_nodes, graph)
        tuned = _prepare(name, graph, images, quantization, parity, export, jury, graph.parent)
        source = min(source, tuned, key=lambda each: (not each.within_budget, each.lost_points))
        fine_tuned = source is tuned

    evaluated, records = read_samples(paths.samples, split), []

    def compared(runner: Runner) -> Parity:
        return measure_parity(
            runner, evaluated, paths.predictions, table, parity.boundary_pixels, f"{name} int8 {runner.name}"
        )

    for target, choice in source.choices.items():
        path = out / FILES[target]
        source.quantizer.quantize(target, choice.float_layers, path)
        with open_quantized(path, target) as runner:
            found = compared(runner)
        diverges = functools.partial(_divergence, source.quantizer.graph, path, images[0])
        records.append(judge(path, "int8", RUNTIMES[target], found, parity.int8, diverges))
    records += judge_on_openvino(out / FILES["cpu"], "int8", compared, parity.int8)
    write_json(metrics, _record(name, quantization, source, fine_tuned, out, records))


def _prepare(
    name: str,
    graph: Path,
    images: Sequence[np.ndarray],
    quantization: QuantizationParams,
    parity: ParityParams,
    export: ExportParams,
    jury: Jury,
    scratch: Path,
) -> Source:
    quantizer = Quantizer(graph, images, quantization.clip_percentile, scratch, export.max_nodes)
    layers: list[Layer] = []

    def dearest() -> Sequence[Layer]:
        layers[:] = layers or judge_layers(quantizer, jury, name)
        return layers

    if quantization.judge_layers == "always":
        dearest()
    budget = _stricter(parity.int8, quantization.judged_share)
    choices: dict[Target, Choice] = {
        target: choose_layers(quantizer, target, jury, budget, quantization.max_float_layers, dearest)
        for target in FILES
    }
    for target, choice in choices.items():
        print(
            f"{name} int8 for {target}: {choice.parity.miou_lost_points:+.3f} points lost on the judged images, "
            f"{len(choice.float_layers)} of {len(quantizer.layers)} layers in floating point"
            f"{'' if choice.within_budget else ': more than they may'}",
            flush=True,
        )
    return Source(quantizer=quantizer, choices=choices, layers=layers)


def _stricter(budget: BudgetParams, share: float) -> BudgetParams:
    """The budget with a share of its points: what holds on the judged images is to hold on others too."""
    return replace(
        budget,
        max_miou_lost_points=share * budget.max_miou_lost_points,
        max_class_lost_points=share * budget.max_class_lost_points,
    )


def _fine_tune(
    name: str,
    segmenter: Segmenter,
    design: Design,
    run: RunParams,
    methods: MethodsParams,
    training: TrainingParams,
    quantization: QuantizationParams,
    table: ClassTable,
    images: Sequence[np.ndarray],
    paths: Paths,
) -> None:
    """Train on with rounding, in place, with the run's own losses; resumes after an interruption."""
    training = replace(training, precision="fp32", compile="never")  # bf16 would round what is to be rounded to int8
    fabric = launch(training.devices, training.precision, training.deterministic)
    inputs = {"checkpoint": sha256(paths.checkpoint), "samples": sha256(paths.samples)}
    if run.has_teacher:
        inputs["teacher"] = sha256(paths.teacher)
    identity = fingerprint(run=run, methods=methods, training=training, quantization=quantization, **inputs)
    rounded_for_training(segmenter, images)
    task = Task.of(training, balanced_classes(paths.statistics, table.names, training))
    objective = student_objective(run, methods, task, segmenter, design.class_names, paths.teacher)
    draws = training_draws(read_samples(paths.samples, *training.splits), table, training, run.seed, paths.scratch)
    with scratch_folder(paths.scratch, f"{name}.int8", identity, fabric.is_global_zero) as folder:
        fit(
            objective,
            draws,
            training,
            fabric,
            name=f"{name} int8",
            iterations=quantization.fine_tuning.iterations,
            learning_rate=quantization.fine_tuning.learning_rate,
            momentum_shift=run.momentum_shift,
            scratch=folder,
        )
    without_rounding(segmenter)


def _divergence(source: Path, graph: Path, image: np.ndarray) -> Divergence:
    return first_divergence(Probe(source).activations(image), Probe(graph), image, DIVERGED)


def _record(
    name: str,
    quantization: QuantizationParams,
    source: Source,
    fine_tuned: bool,
    out: Path,
    graphs: Sequence[JudgedGraph],
) -> dict[str, object]:
    return {
        "run": name,
        "calibration": {
            "images": quantization.calibration_images,
            "clip_percentile": quantization.clip_percentile,
            "sha256": sha256(out / "calibration.csv"),
        },
        "judged_on": quantization.judged_on,
        "layers": [layer._asdict() for layer in source.layers],
        "choices": {target: _record_of(choice) for target, choice in source.choices.items()},
        "fine_tuned": fine_tuned,
        "fine_tuning": asdict(quantization.fine_tuning) if fine_tuned else None,
        "artifacts": [graph.record() for graph in graphs],
    }


def _record_of(choice: Choice) -> dict[str, object]:
    return {
        "float_layers": list(choice.float_layers),
        "within_budget": choice.within_budget,
        "parity": choice.parity.record(),
    }
