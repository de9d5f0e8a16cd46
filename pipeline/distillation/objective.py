"""What a distilled student minimizes: its task, and a method's distance to the frozen teacher."""

from typing import Self

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from models.segmenter import Segmenter
from pipeline.training.objective import Loss, SupervisedObjective


class DistillationObjective(SupervisedObjective):
    """Cross-entropy as for a baseline, plus weight * method(student, teacher)."""

    def __init__(
        self,
        network: Segmenter,
        teacher: Segmenter,
        method: nn.Module,
        weight: float,
        auxiliary_weight: float,
        mean: str,
    ):
        super().__init__(network, auxiliary_weight, mean)
        self.teacher = teacher.requires_grad_(False)
        self.method = method
        self.weight = weight

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        self.teacher.eval()  # a frozen teacher has no training mode: its BatchNorm statistics must stay
        return self

    def limited_apart(self) -> tuple[nn.Module, ...]:
        # The layers of a method may have a far longer gradient than the student: under one limit for both they would
        # shorten the student's steps, and the gain would compare learning rates.
        return (self.network, self.method)

    def forward(self, image: Float[Tensor, "n 3 H W"], labels: Int64[Tensor, "n H W"]) -> Loss:
        with torch.no_grad():
            teacher = self.teacher(image)
        student = self.network(image)
        task = self.task_loss(student, labels)
        distill = self.weight * self.method(student, teacher)
        return Loss(task.total + distill, {**task.terms, "distill": distill.detach()})
