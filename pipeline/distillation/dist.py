"""DIST: distillation from a stronger teacher, arXiv 2205.10536 (the segmentation form)."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from models.segmenter import SegmentationOutput
from pipeline.distillation.precision import at_least_float32
from pipeline.errors import SegdistillError

EPSILON = 1e-8  # added to the product of the two lengths


class NoAuxiliaryHead(SegdistillError):
    """A network without the head that a method compares."""


class ComparesAuxiliaryHeads(nn.Module):
    """A method that needs the teacher's auxiliary head; for all others it is taken off."""


class CorrelationOfScores(ComparesAuxiliaryHeads):
    """Match correlations instead of values: between the classes at a cell, and between the cells for a class.

    Args:
        inter_class, intra_class: weights of the two correlations; the authors use 1.
        auxiliary_weight: of the same comparison between the auxiliary heads; the authors use 0.4.
    """

    def __init__(self, inter_class: float, intra_class: float, auxiliary_weight: float):
        super().__init__()
        self.inter_class = inter_class
        self.intra_class = intra_class
        self.auxiliary_weight = auxiliary_weight

    def forward(
        self, student: SegmentationOutput, teacher: SegmentationOutput, labels: Int64[Tensor, "n H W"]
    ) -> Float[Tensor, ""]:
        main = correlation_distance(student.logits, teacher.logits, self.inter_class, self.intra_class)
        auxiliary = correlation_distance(*auxiliary_logits(student, teacher), self.inter_class, self.intra_class)
        return main + self.auxiliary_weight * auxiliary


def auxiliary_logits(student: SegmentationOutput, teacher: SegmentationOutput) -> tuple[Tensor, Tensor]:
    """Those of both networks.

    Raises:
        NoAuxiliaryHead: one of them has none.
    """
    if student.auxiliary_logits is None or teacher.auxiliary_logits is None:
        who = "student" if student.auxiliary_logits is None else "teacher"
        raise NoAuxiliaryHead(f"the method compares auxiliary heads, and the {who} has none; train it with one")
    return student.auxiliary_logits, teacher.auxiliary_logits


@at_least_float32
def correlation_distance(
    student: Float[Tensor, "n k h w"], teacher: Float[Tensor, "n k h w"], inter_class: float, intra_class: float
) -> Float[Tensor, ""]:
    """Weighted sum of 1 - mean Pearson correlation of probabilities, along classes and along all cells of the batch."""
    rows = [F.softmax(logits, dim=1).transpose(0, 1).flatten(1).T for logits in (student, teacher)]
    inter = 1 - _correlation(rows[0], rows[1]).mean()
    intra = 1 - _correlation(rows[0].T, rows[1].T).mean()
    return inter_class * inter + intra_class * intra


def _correlation(a: Float[Tensor, "rows m"], b: Float[Tensor, "rows m"]) -> Float[Tensor, " rows"]:
    a, b = a - a.mean(dim=1, keepdim=True), b - b.mean(dim=1, keepdim=True)
    lengths = torch.linalg.vector_norm(a, dim=1) * torch.linalg.vector_norm(b, dim=1)
    return (a * b).sum(dim=1) / (lengths + EPSILON)
