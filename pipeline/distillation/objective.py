"""The objective of a distilled student: its task, plus its weighted distances to the frozen teacher."""

from collections.abc import Mapping
from typing import Any, Self

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from models.folding import fold_batchnorms
from models.resize import bilinear
from models.segmenter import SegmentationOutput, Segmenter
from pipeline.distillation.method import Labels, Logits, Preparation, at_least_float32, labels_at_cells, method_class
from pipeline.params.runs import RunParams
from pipeline.training.objective import Loss, SupervisedObjective, Task


class DistillationObjective(SupervisedObjective):
    """Cross-entropy as for a baseline, plus the sum of weight * method(student, teacher, labels)."""

    def __init__(
        self, network: Segmenter, teacher: Segmenter, methods: Mapping[str, nn.Module], weights: dict[str, float],
        task: Task,
    ):  # fmt: skip
        super().__init__(network, task)
        self.teacher = teacher.requires_grad_(False)
        self.methods = nn.ModuleDict(dict(methods))
        self.weights = weights

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        self.teacher.eval()  # a frozen teacher has no training mode: its BatchNorm statistics must stay
        return self

    def grad_clip_groups(self) -> list[nn.Module]:
        # A method's layers may have a far longer gradient: one common limit would then shorten the student's steps.
        learning = (part for part in self.methods.values() if any(weight.requires_grad for weight in part.parameters()))
        return [self.network, *learning]

    def preparations(self) -> dict[str, Preparation]:
        """Return the trainings that come before the student's, by method."""
        asked = {name: method.preparation(self.teacher, self.task) for name, method in self.methods.items()}  # type: ignore[reportCallIssue]
        return {name: preparation for name, preparation in asked.items() if preparation}

    def divide(self, shares: int) -> None:
        for method in self.methods.values():
            method.shares = shares  # type: ignore[reportArgumentType]

    def advance(self) -> None:
        for method in self.methods.values():
            method.advance()  # type: ignore[reportCallIssue]

    def compare(self, image: Float[Tensor, "n 3 H W"], labels: Labels) -> Loss:
        with torch.no_grad():
            teacher = self.teacher(image, self.task.image_scale)
        student = self.network(image, self.task.image_scale)
        task = self.task_loss(student, labels)
        teacher = resize_teacher(student, teacher)
        cells = labels_at_cells(labels, *student.logits.shape[-2:])
        terms = [self.weights[name] * method(student, teacher, cells) for name, method in self.methods.items()]
        distill = torch.stack(terms).sum()
        metrics = agreement_metrics(student.logits, teacher.logits)
        return Loss(task.task, distill, {**task.terms, "distill": distill.detach()}, metrics)


def distillation_objective(
    student: Segmenter, teacher: Segmenter, run: RunParams, methods: Mapping[str, Any], task: Task
) -> DistillationObjective:
    """Freeze the teacher and build the methods of a run; `methods` holds the `Params` of each by name."""
    frozen = fold_batchnorms(teacher)
    torch.manual_seed(run.seed)  # for the methods' weights; the student's were drawn before, equal to the baseline's
    chosen = {name: method_class(name)(methods[name], student, frozen, run.iterations) for name in run.distill}
    if not any(method.needs_auxiliary_heads for method in chosen.values()):
        frozen.auxiliary_head = None  # else it would run in every iteration for nothing
    return DistillationObjective(student, frozen, chosen, run.distill, task)


@torch.no_grad()
@at_least_float32
def agreement_metrics(student: Logits, teacher: Logits) -> dict[str, Tensor]:
    """Return the share of cells with the same most likely class, and the mean entropy of both distributions in nats.

    They show whether distillation brings the student closer to the teacher: a loss can fall without more agreement.
    """
    metrics = {"agreement": (student.argmax(dim=1) == teacher.argmax(dim=1)).float().mean()}
    for name, logits in (("student_entropy", student), ("teacher_entropy", teacher)):
        log_p = F.log_softmax(logits, dim=1)
        metrics[name] = -(log_p.exp() * log_p).sum(dim=1).mean()
    return metrics


def resize_teacher(student: SegmentationOutput, teacher: SegmentationOutput) -> SegmentationOutput:
    """Resize the teacher's maps to the student's size (bilinear) if output stride or input size differ."""

    def resized(theirs: Tensor | None, ours: Tensor | None) -> Tensor | None:
        if theirs is None or ours is None or theirs.shape[-2:] == ours.shape[-2:]:
            return theirs
        return bilinear(theirs, *ours.shape[-2:])

    return SegmentationOutput(*map(resized, teacher, student))  # type: ignore[reportArgumentType]
