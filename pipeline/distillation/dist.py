"""DIST: distillation from a stronger teacher, arXiv 2205.10536 (the segmentation form)."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from pipeline.distillation.method import CellLabels, Logits, Method, Output, Scalar, at_least_float32
from pipeline.errors import TrainingError
from pipeline.params.sections import NonNegative, section

EPSILON = 1e-8  # added to the product of the two lengths


class DIST(Method):
    """Match correlations instead of values: between the classes at a cell, and between the cells for a class."""

    @section
    class Params:
        inter_class: NonNegative = 1.0  # weight of the correlation between classes; the authors' value
        intra_class: NonNegative = 1.0  # weight of the correlation between cells; the authors' value
        auxiliary_weight: NonNegative = 0.4  # weight of the same loss on the auxiliary heads; the authors' value

    params: Params
    needs_auxiliary_heads = True

    def forward(self, student: Output, teacher: Output, labels: CellLabels) -> Scalar:
        weights = self.params.inter_class, self.params.intra_class
        main = correlation_distance(student.logits, teacher.logits, *weights)
        return main + self.params.auxiliary_weight * correlation_distance(*auxiliary_logits(student, teacher), *weights)


def auxiliary_logits(student: Output, teacher: Output) -> tuple[Tensor, Tensor]:
    """Return the auxiliary logits of both networks; raise TrainingError if one has none."""
    if student.auxiliary_logits is None or teacher.auxiliary_logits is None:
        who = "student" if student.auxiliary_logits is None else "teacher"
        raise TrainingError(f"the method compares auxiliary heads, but the {who} has none; train it with one")
    return student.auxiliary_logits, teacher.auxiliary_logits


@at_least_float32
def correlation_distance(student: Logits, teacher: Logits, inter_class: float, intra_class: float) -> Scalar:
    """Return the weighted sum of 1 - mean Pearson correlation of probabilities, along classes and the batch's cells."""
    ours, theirs = (F.softmax(logits, dim=1).transpose(0, 1).flatten(1).T for logits in (student, teacher))
    inter, intra = 1 - _correlation(ours, theirs).mean(), 1 - _correlation(ours.T, theirs.T).mean()
    return inter_class * inter + intra_class * intra


def _correlation(a: Float[Tensor, "rows m"], b: Float[Tensor, "rows m"]) -> Float[Tensor, " rows"]:
    a, b = a - a.mean(dim=1, keepdim=True), b - b.mean(dim=1, keepdim=True)
    lengths = torch.linalg.vector_norm(a, dim=1) * torch.linalg.vector_norm(b, dim=1)
    return (a * b).sum(dim=1) / (lengths + EPSILON)
