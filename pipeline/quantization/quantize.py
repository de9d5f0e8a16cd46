"""Quantize one run to int8.

Training images set the ranges, validation images choose the float layers, and the evaluation split judges the result.
"""

import shutil
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipeline.data.classes import ClassTable
from pipeline.data.files import replacing, sha256
from pipeline.data.images import read_image
from pipeline.data.samples import read_samples
from pipeline.deploy.layer_outputs import first_divergence
from pipeline.deploy.parity_gate import judge, judge_on_other_runtimes
from pipeline.measure.parity import measure_parity
from pipeline.quantization.calibration import choose_calibration, spread, write_calibration
from pipeline.quantization.inputs import Inputs
from pipeline.quantization.layer_choice import LayerSensitivity, choose_layers
from pipeline.quantization.quantizer import Quantizer, Target, open_quantized
from pipeline.records.artifacts import Calibration, FineTuning, LayerChoice, LayerLoss, Parity, Quantization
from pipeline.records.files import write_record
from pipeline.training.finished import note_result
from segdistill_runtime.runner import Runner

FILES: dict[Target, str] = {"cpu": "model_int8.onnx", "tensorrt": "model_int8_tensorrt.onnx"}
DIVERGED = 0.3  # relative error of a layer's output; the int8 rounding of earlier layers stays below it


class Source(NamedTuple):
    """A float graph that is quantized, with its chosen and its measured layers."""

    quantizer: Quantizer
    choices: dict[Target, LayerChoice]
    layers: list[LayerLoss]  # measured one by one; empty if that was not needed

    def graph(self, target: Target) -> Path:
        """Return the path of the chosen graph."""
        return self.quantizer.graph.with_name(FILES[target])

    @property
    def loss(self) -> tuple[bool, float]:
        """Whether a graph is over its budget, and the largest loss of a graph in points of mIoU."""
        choices = self.choices.values()
        return not all(c.within_budget for c in choices), max(c.parity.miou_lost_points for c in choices)


def quantize_run(inputs: Inputs, out: Path, metrics: Path) -> None:
    """Write out/model_int8.onnx, out/model_int8_tensorrt.onnx, out/calibration.csv, and `metrics`.

    Layers are kept in floating point until the judged images lose at most a share of the budget's points. If that
    fails and the parameters allow it, the student is fine-tuned with rounding and quantized again; the better result is
    kept. A graph that is over its budget on the evaluation split is recorded as rejected.
    """
    name, quantization, parity = inputs.name, inputs.quantization, inputs.parity
    table, train = ClassTable.load(inputs.classes), read_samples(inputs.samples, "train")
    resizing = inputs.export.resizing
    chosen = choose_calibration(train, quantization.calibration_images)
    images = [resizing.apply(read_image(sample.image, sample.image_sha256))[None] for sample in chosen]
    write_calibration(out / "calibration.csv", chosen)
    judged = spread(read_samples(inputs.samples, quantization.judged_on), quantization.judged_images)
    sensitivity = LayerSensitivity(judged, table, parity.boundary_pixels, inputs.graph, resizing)

    scratch = inputs.scratch / "quantization" / name
    source = _prepare(inputs, inputs.graph, images, sensitivity, scratch / "trained")
    over_budget, _ = source.loss
    fine_tuned, state = over_budget and quantization.fine_tuning.iterations > 0, None
    if fine_tuned:
        from pipeline.quantization.fine_tuning import fine_tune  # imports all of the training code

        graph = scratch / "fine_tuned" / "model.onnx"
        state = fine_tune(inputs, table, images, graph)
        tuned = _prepare(inputs, graph, images, sensitivity, graph.parent)
        source = min(source, tuned, key=lambda each: each.loss)
        fine_tuned = source is tuned

    evaluated, artifacts = read_samples(inputs.samples, inputs.split), []

    def compared(runner: Runner) -> Parity:
        title = f"{name} int8 {runner.name}"
        with runner:
            return measure_parity(runner, resizing, evaluated, inputs.predictions, table, parity.boundary_pixels, title)

    for target in source.choices:
        path = out / FILES[target]
        with replacing(path) as temporary:
            shutil.copyfile(source.graph(target), temporary)
        diverges = partial(first_divergence, source.quantizer.graph, path, images[0], DIVERGED)
        artifacts.append(judge(path, "int8", compared(open_quantized(path, target)), parity.int8, diverges))
    artifacts += judge_on_other_runtimes(out / FILES["cpu"], "int8", compared, parity.int8)
    listed, clip = sha256(out / "calibration.csv"), quantization.clip_percentile
    record = Quantization(
        run=name, calibration=Calibration(images=len(images), clip_percentile=clip, sha256=listed),
        judged_on=quantization.judged_on, layers=source.layers, choices={**source.choices}, fine_tuned=fine_tuned,
        fine_tuning=FineTuning(**asdict(quantization.fine_tuning)) if fine_tuned else None, artifacts=artifacts,
    )  # fmt: skip
    write_record(metrics, record)
    if state:
        note_result(state, out)


def _prepare(
    inputs: Inputs, graph: Path, images: Sequence[np.ndarray], sensitivity: LayerSensitivity, scratch: Path
) -> Source:
    """Measure the ranges and choose the float layers of both targets."""
    name, quantization, budget = inputs.name, inputs.quantization, inputs.parity.int8
    quantizer = Quantizer(graph, images, quantization.clip_percentile, scratch)
    source = Source(quantizer, {}, [])

    def most_sensitive() -> Sequence[LayerLoss]:
        source.layers[:] = source.layers or sensitivity.of_layers(quantizer, name)
        return source.layers

    if quantization.judge_layers == "always":
        most_sensitive()
    share = quantization.judged_share  # stricter, so that other images stay within the budget too
    points, of_class = share * budget.max_miou_lost_points, share * budget.max_class_lost_points
    stricter = replace(budget, max_miou_lost_points=points, max_class_lost_points=of_class)
    for target in FILES:
        graph = source.graph(target)
        most = quantization.max_float_layers
        choice = choose_layers(quantizer, target, sensitivity, stricter, most, most_sensitive, graph)
        source.choices[target] = choice
        print(
            f"{name} int8 for {target}: {choice.parity.miou_lost_points:+.3f} points lost on the judged images, "
            f"{len(choice.float_layers)} of {len(quantizer.layers)} layers in floating point"
            f"{'' if choice.within_budget else ': over the budget for judged images'}",
            flush=True,
        )
    return source
