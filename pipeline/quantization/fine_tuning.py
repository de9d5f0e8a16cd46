"""Fine-tune a student with int8 rounding in the forward pass, if calibration alone leaves it over budget.

The straight-through estimator (Bengio et al., arXiv 1308.3432) passes gradients through the rounding, as in Jacob et
al. (arXiv 1712.05877). BatchNorms are folded first, so exactly those weights are trained that are quantized later.
The loss is the run's own, distillation included.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils import parametrize

from models.checkpoint import load_checkpoint
from models.export_wrappers import LARGEST_GREY, LabelsGraph
from models.folding import fold_batchnorms
from models.segmenter import Segmenter
from pipeline.data.classes import ClassTable
from pipeline.data.crops import crop_dataset
from pipeline.data.samples import read_samples
from pipeline.deploy.onnx_export import export_graph
from pipeline.distillation.method import method_class
from pipeline.distillation.student import prepare_methods, student_objective
from pipeline.quantization.inputs import Inputs
from pipeline.training.device import device_facts
from pipeline.training.fabric import launch
from pipeline.training.loop import fit
from pipeline.training.objective import Task, load_class_weights
from pipeline.training.resume import scratch_folder, training_identity
from segdistill_runtime.runner import InputShape

LEVELS = 255  # steps between the 256 values of uint8 activations
LARGEST = 127  # largest symmetric int8 weight
SMALLEST_RANGE = 1e-12  # range of a channel or map that is always 0


def fine_tune(inputs: Inputs, table: ClassTable, images: Sequence[np.ndarray], graph: Path) -> Path:
    """Fine-tune the checkpoint with rounding and the run's own losses, and export it as `graph`.

    `images` are the calibration images, uint8 (1, H, W, 3). Returns the folder of the training's last state.
    """
    run, tuning, export = inputs.run, inputs.quantization.fine_tuning, inputs.export
    segmenter, design, _ = load_checkpoint(inputs.checkpoint)
    # bf16 would round the values before int8 does. Several processes would repeat the whole stage.
    training = replace(inputs.training, precision="fp32", compile="never", devices=1)
    fabric = launch(training.devices, training.precision, training.deterministic)
    files = {"checkpoint": inputs.checkpoint}
    if run.has_teacher:
        files["teacher"] = inputs.teacher
    identity = training_identity(
        inputs.code, inputs.classes, inputs.samples, files, run=replace(run, baseline=""), methods=inputs.methods,
        training=training, quantization=inputs.quantization,
        **device_facts(training.precision, fabric.device.type),
    )  # fmt: skip
    task = Task.of(training, load_class_weights(inputs.statistics, table.names, training))
    samples = read_samples(inputs.samples, *training.splits)
    scratch = scratch_folder(inputs.scratch, f"{inputs.name}.int8", identity, fabric.is_global_zero)
    auxiliary = any(method_class(name).needs_auxiliary_heads for name in run.distill)
    with rounding(segmenter, images, auxiliary), scratch as folder:
        objective = student_objective(run, inputs.methods, task, segmenter, design.class_names, inputs.teacher)
        crops, name = crop_dataset(samples, table, training, run.seed, inputs.scratch), f"{inputs.name} int8"
        prepare_methods(objective, crops, training, fabric, name, tuning.iterations, folder)
        fit(
            objective, crops, training, fabric, name=name, iterations=tuning.iterations,
            learning_rate=tuning.learning_rate, momentum_shift=run.momentum_shift, scratch=folder,
        )  # fmt: skip
    shape = InputShape(1, export.height, export.width)
    export_graph(LabelsGraph(segmenter), design, shape, export.opset, graph)
    return folder


@contextmanager
def rounding(segmenter: Segmenter, images: Sequence[np.ndarray], auxiliary: bool = False) -> Iterator[None]:
    """Round the inputs of all convolutions to 256 levels and their weights to 255 for each output channel, in a block.

    The ranges of the inputs are measured on `images`, uint8 (1, H, W, 3). After the block the segmenter is on the CPU,
    in eval mode, folded, and without its auxiliary head.

    Args:
        auxiliary: keep the auxiliary head in the block, without rounding, for a method that reads its scores.
    """
    head, segmenter.auxiliary_head = segmenter.auxiliary_head, None
    convolutions = [part for part in fold_batchnorms(segmenter).modules() if isinstance(part, nn.Conv2d)]
    for conv in convolutions:
        conv.register_buffer("low", torch.zeros(()))  # 0 must be a level, because padding is 0
        conv.register_buffer("high", torch.zeros(()))
    with ExitStack() as hooks, torch.no_grad():
        for conv in convolutions:
            hooks.enter_context(conv.register_forward_pre_hook(_widen_range))
        for image in images:
            segmenter(torch.from_numpy(image).permute(0, 3, 1, 2).float() / LARGEST_GREY)
    segmenter.auxiliary_head = head if auxiliary else None
    with ExitStack() as hooks:
        for conv in convolutions:
            hooks.enter_context(conv.register_forward_pre_hook(_round_input))
            parametrize.register_parametrization(conv, "weight", RoundedWeight())
            hooks.callback(parametrize.remove_parametrizations, conv, "weight", leave_parametrized=False)
        yield
    segmenter.auxiliary_head = None
    for conv in convolutions:
        del conv.low, conv.high
    segmenter.cpu().eval()


class RoundedWeight(nn.Module):
    def forward(self, weight: Float[Tensor, "k c h w"]) -> Float[Tensor, "k c h w"]:
        return round_weight(weight)


def round_input(x: Tensor, low: Float[Tensor, ""], high: Float[Tensor, ""]) -> Tensor:
    """Round to the nearest of 256 evenly spaced values from low to high, one of which is 0; clamp values outside."""
    scale = (high - low).clamp(min=SMALLEST_RANGE) / LEVELS
    zero_point = (-low / scale).round().clamp(0, LEVELS).to(torch.int32)
    return torch.fake_quantize_per_tensor_affine(x, scale, zero_point, 0, LEVELS)


def round_weight(weight: Float[Tensor, "k c h w"]) -> Float[Tensor, "k c h w"]:
    """Round each output channel to the nearest of 255 evenly spaced values around 0."""
    largest = weight.detach().abs().amax(dim=(1, 2, 3)).clamp(min=SMALLEST_RANGE)
    zero_points = torch.zeros(len(weight), dtype=torch.int32, device=weight.device)
    return torch.fake_quantize_per_channel_affine(weight, largest / LARGEST, zero_points, 0, -LARGEST, LARGEST)


def _widen_range(conv: Any, inputs: tuple[Tensor, ...]) -> None:
    conv.low.copy_(torch.minimum(conv.low, inputs[0].min()))
    conv.high.copy_(torch.maximum(conv.high, inputs[0].max()))


def _round_input(conv: Any, inputs: tuple[Tensor, ...]) -> Tensor:
    return round_input(inputs[0], conv.low, conv.high)
