"""What distillation costs beside the student: counted, not timed."""

from typing import Any, NamedTuple

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from pipeline.distillation.objective import DistillationObjective, resized_to
from pipeline.training.objective import SupervisedObjective

IMAGES = 2  # fewer than two give BatchNorm nothing to normalize, and cross-image methods nothing to compare


class Cost(NamedTuple):
    """Multiply-accumulates are those of convolutions and matrix products, forward, for one crop as it is trained on."""

    training_only_parameters: int  # of the methods' own layers
    student_macs: int
    teacher_macs: int
    methods_macs: int


def count_cost(objective: SupervisedObjective, height: int, width: int) -> Cost:
    """Run one forward pass on random images; running statistics and queues of `objective` change."""
    device = next(objective.parameters()).device
    image = torch.rand(IMAGES, 3, height, width, device=device)
    labels = torch.randint(objective.network.classes, (IMAGES, height, width), device=device)
    scale = objective.task.image_scale
    objective.train()
    with torch.no_grad():
        student_macs, student = _counted(objective.network, image, scale)
        if not isinstance(objective, DistillationObjective):
            return Cost(0, student_macs, 0, 0)
        teacher_macs, teacher = _counted(objective.teacher, image, scale)
        teacher = resized_to(student, teacher)
        methods_macs = sum(_counted(method, student, teacher, labels)[0] for method in objective.methods.values())
    parameters = sum(parameter.numel() for parameter in objective.methods.parameters())
    return Cost(parameters, student_macs, teacher_macs, methods_macs)


def _counted(module: nn.Module, *inputs: object) -> tuple[int, Any]:
    with FlopCounterMode(display=False) as counter:
        output = module(*inputs)
    return counter.get_total_flops() // 2 // IMAGES, output
