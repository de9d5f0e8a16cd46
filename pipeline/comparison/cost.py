"""Count what distillation costs beside the student: operations and parameters, not time."""

from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from pipeline.distillation.objective import DistillationObjective, resize_teacher
from pipeline.records.files import record
from pipeline.training.objective import SupervisedObjective

IMAGES = 2  # BatchNorm and cross-image methods need at least two


@record
class Cost:
    """Multiply-accumulates of convolutions and matrix products: forward pass, one training crop."""

    training_only_parameters: int  # of the methods' own layers
    student_macs: int
    teacher_macs: int
    methods_macs: int


def count_cost(objective: SupervisedObjective, height: int, width: int) -> Cost:
    """Run one forward pass on random images; changes running statistics and queues of `objective`."""
    device = next(objective.parameters()).device
    image = torch.rand(IMAGES, 3, height, width, device=device)
    labels = torch.randint(objective.network.classes, (IMAGES, height, width), device=device)
    scale = objective.task.image_scale
    objective.train()
    parameters = teacher_macs = methods_macs = 0
    with torch.no_grad():
        student_macs, student = _count(objective.network, image, scale)
        if isinstance(objective, DistillationObjective):
            teacher_macs, teacher = _count(objective.teacher, image, scale)
            teacher = resize_teacher(student, teacher)
            methods_macs = sum(_count(method, student, teacher, labels)[0] for method in objective.methods.values())
            parameters = sum(parameter.numel() for parameter in objective.methods.parameters())
    return Cost(
        training_only_parameters=parameters,
        student_macs=student_macs,
        teacher_macs=teacher_macs,
        methods_macs=methods_macs,
    )


def _count(module: nn.Module, *inputs: object) -> tuple[int, Any]:
    with FlopCounterMode(display=False) as counter:
        output = module(*inputs)
    return counter.get_total_flops() // 2 // IMAGES, output
