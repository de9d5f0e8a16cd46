"""What a distilled student minimizes: its task, and its weighted distances to the frozen teacher."""

from typing import Self

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from models.resize import bilinear
from models.segmenter import SegmentationOutput, Segmenter
from pipeline.distillation.precision import at_least_float32
from pipeline.training.objective import Loss, SupervisedObjective, Task


class DistillationObjective(SupervisedObjective):
    """Cross-entropy as for a baseline, plus the sum of weight * method(student, teacher, labels)."""

    def __init__(
        self,
        network: Segmenter,
        teacher: Segmenter,
        methods: dict[str, nn.Module],
        weights: dict[str, float],
        task: Task,
    ):
        super().__init__(network, task)
        self.teacher = teacher.requires_grad_(False)
        self.methods = nn.ModuleDict(methods)
        self.weights = weights

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        self.teacher.eval()  # a frozen teacher has no training mode: its BatchNorm statistics must stay
        return self

    def limited_apart(self) -> tuple[nn.Module, ...]:
        # The layers of a method may have a far longer gradient than the student: under one limit for both they would
        # shorten the student's steps, and the gain would compare learning rates.
        return (self.network, *(method for method in self.methods.values() if any(True for _ in method.parameters())))

    def compare(self, image: Float[Tensor, "n 3 H W"], labels: Int64[Tensor, "n H W"]) -> Loss:
        with torch.no_grad():
            teacher = self.teacher(image, self.task.image_scale)
        student = self.network(image, self.task.image_scale)
        task = self.task_loss(student, labels)
        teacher = resized_to(student, teacher)
        terms = [self.weights[name] * method(student, teacher, labels) for name, method in self.methods.items()]
        distill = torch.stack(terms).sum()
        return Loss(
            task.task, distill, {**task.terms, "distill": distill.detach()}, watched(student.logits, teacher.logits)
        )


@torch.no_grad()
@at_least_float32
def watched(student: Float[Tensor, "n k h w"], teacher: Float[Tensor, "n k h w"]) -> dict[str, Tensor]:
    """Whether distillation does what it is for: a term that falls without more agreement is a finding.

    Returns:
        Share of cells with the same most likely class, and the mean entropy of both distributions in nats.
    """

    def entropy(logits: Tensor) -> Tensor:
        log_p = F.log_softmax(logits, dim=1)
        return -(log_p.exp() * log_p).sum(dim=1).mean()

    agreement = (student.argmax(dim=1) == teacher.argmax(dim=1)).float().mean()
    return {"agreement": agreement, "student_entropy": entropy(student), "teacher_entropy": entropy(teacher)}


def resized_to(student: SegmentationOutput, teacher: SegmentationOutput) -> SegmentationOutput:
    """The teacher's maps at the sizes of the student's, where output stride or input differ: bilinear."""

    def resized(theirs: Tensor | None, ours: Tensor | None) -> Tensor | None:
        if theirs is None or ours is None or theirs.shape[-2:] == ours.shape[-2:]:
            return theirs
        return bilinear(theirs, *ours.shape[-2:])

    return SegmentationOutput(*map(resized, teacher, student))  # type: ignore[reportArgumentType]
