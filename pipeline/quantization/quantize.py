"""int8 for one run: ranges from training images, layers chosen on validation images, judged on the evaluation split."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from models.build import Design
from models.checkpoint import load_checkpoint
from models.export_wrappers import LabelsGraph
from models.segmenter import Segmenter
from pipeline.data.classes import ClassTable
from pipeline.data.crops import crop_dataset
from pipeline.data.files import sha256
from pipeline.data.images import read_image
from pipeline.data.samples import read_samples
from pipeline.deploy.layer_outputs import Divergence, Probe, first_divergence
from pipeline.deploy.onnx_export import export_graph
from pipeline.deploy.parity_gate import judge, judge_on_other_runtimes
from pipeline.distillation.student import student_objective
from pipeline.measure.parity import measure_parity
from pipeline.params.deployment import ExportParams, ParityParams, QuantizationParams
from pipeline.params.runs import RunParams
from pipeline.params.training import TrainingParams
from pipeline.quantization.calibration import choose_calibration, spread, write_calibration
from pipeline.quantization.fine_tuning import rounded_for_training, without_rounding
from pipeline.quantization.layer_choice import LayerSensitivity, choose_layers
from pipeline.quantization.quantizer import Quantizer, Target, open_quantized
from pipeline.records.files import write_record
from pipeline.records.parity import Parity
from pipeline.records.quantization import Calibration, FineTuning, LayerChoice, LayerLoss, Quantization
from pipeline.training.class_weights import load_class_weights
from pipeline.training.device import device_facts, launch
from pipeline.training.loop import fit
from pipeline.training.objective import Task
from pipeline.training.resume import scratch_folder, training_identity
from segdistill_runtime.runner import InputShape, Runner

FILES: dict[Target, str] = {"cpu": "model_int8.onnx", "tensorrt": "model_int8_tensorrt.onnx"}
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
    choices: dict[Target, LayerChoice]
    layers: list[LayerLoss]  # judged one by one; none if that was not needed

    @property
    def within_budget(self) -> bool:
        return all(choice.within_budget for choice in self.choices.values())

    @property
    def lost_points(self) -> float:
        return max(choice.parity.miou_lost_points for choice in self.choices.values())


def quantize_run(
    name: str,
    run: RunParams,
    methods: Mapping[str, Any],
    training: TrainingParams,
    code: str,
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
        DatasetError: training images that no ranges can be taken from.
    """
    table = ClassTable.load(paths.classes)
    chosen = choose_calibration(
        read_samples(paths.samples, "train"), quantization.calibration_images, export.height, export.width
    )
    images = [read_image(sample.image, sample.image_sha256)[None] for sample in chosen]
    write_calibration(out / "calibration.csv", chosen)
    judged = spread(read_samples(paths.samples, quantization.judged_on), quantization.judged_images)
    sensitivity = LayerSensitivity(judged, table, parity.boundary_pixels, paths.graph)

    scratch = paths.scratch / "quantization" / name
    source = _prepare(name, paths.graph, images, quantization, parity, export, sensitivity, scratch / "trained")
    fine_tuned = not source.within_budget and quantization.fine_tuning.iterations > 0
    if fine_tuned:
        segmenter, design, _ = load_checkpoint(paths.checkpoint)
        graph = scratch / "fine_tuned" / "model.onnx"
        _fine_tune(name, segmenter, design, run, methods, training, code, quantization, table, images, paths)
        shape = InputShape(1, export.height, export.width)
        export_graph(LabelsGraph(segmenter), design, shape, export.opset, export.max_nodes, graph)
        tuned = _prepare(name, graph, images, quantization, parity, export, sensitivity, graph.parent)
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

        def diverges(path: Path = path) -> Divergence:
            reference = Probe(source.quantizer.graph).activations(images[0])
            return first_divergence(reference, Probe(path), images[0], DIVERGED)

        records.append(judge(path, "int8", found, parity.int8, diverges))
    records += judge_on_other_runtimes(out / FILES["cpu"], "int8", compared, parity.int8)
    calibration = Calibration(
        images=len(images), clip_percentile=quantization.clip_percentile, sha256=sha256(out / "calibration.csv")
    )
    record = Quantization(
        run=name,
        calibration=calibration,
        judged_on=quantization.judged_on,
        layers=source.layers,
        choices={**source.choices},
        fine_tuned=fine_tuned,
        fine_tuning=FineTuning(**asdict(quantization.fine_tuning)) if fine_tuned else None,
        artifacts=records,
    )
    write_record(metrics, record)


def _prepare(
    name: str,
    graph: Path,
    images: Sequence[np.ndarray],
    quantization: QuantizationParams,
    parity: ParityParams,
    export: ExportParams,
    sensitivity: LayerSensitivity,
    scratch: Path,
) -> Source:
    quantizer = Quantizer(graph, images, quantization.clip_percentile, scratch, export.max_nodes)
    layers: list[LayerLoss] = []

    def most_sensitive() -> Sequence[LayerLoss]:
        layers[:] = layers or sensitivity.of_layers(quantizer, name)
        return layers

    if quantization.judge_layers == "always":
        most_sensitive()
    budget, share = parity.int8, quantization.judged_share  # what holds on the judged images is to hold on others too
    stricter = replace(
        budget,
        max_miou_lost_points=share * budget.max_miou_lost_points,
        max_class_lost_points=share * budget.max_class_lost_points,
    )
    choices: dict[Target, LayerChoice] = {
        target: choose_layers(quantizer, target, sensitivity, stricter, quantization.max_float_layers, most_sensitive)
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


def _fine_tune(
    name: str,
    segmenter: Segmenter,
    design: Design,
    run: RunParams,
    methods: Mapping[str, Any],
    training: TrainingParams,
    code: str,
    quantization: QuantizationParams,
    table: ClassTable,
    images: Sequence[np.ndarray],
    paths: Paths,
) -> None:
    """Train on with rounding, in place, with the run's own losses; resumes after an interruption."""
    training = replace(training, precision="fp32", compile="never")  # bf16 would round what is to be rounded to int8
    fabric = launch(training.devices, training.precision, training.deterministic)
    files = {"checkpoint": paths.checkpoint, "samples": paths.samples}
    if run.has_teacher:
        files["teacher"] = paths.teacher
    identity = training_identity(
        code, files, run=replace(run, baseline=""), methods=methods, training=training, quantization=quantization,
        **device_facts(training.precision, fabric.device.type),
    )  # fmt: skip
    rounded_for_training(segmenter, images)
    task = Task.of(training, load_class_weights(paths.statistics, table.names, training))
    objective = student_objective(run, methods, task, segmenter, design.class_names, paths.teacher)
    crops = crop_dataset(read_samples(paths.samples, *training.splits), table, training, run.seed, paths.scratch)
    with scratch_folder(paths.scratch, f"{name}.int8", identity, fabric.is_global_zero) as folder:
        fit(
            objective,
            crops,
            training,
            fabric,
            name=f"{name} int8",
            iterations=quantization.fine_tuning.iterations,
            learning_rate=quantization.fine_tuning.learning_rate,
            momentum_shift=run.momentum_shift,
            scratch=folder,
        )
    without_rounding(segmenter)
