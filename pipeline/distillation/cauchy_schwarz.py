"""Cauchy-Schwarz divergence between distributions, for distillation (Xu, Yang and Zhang, ICCV 2023).

The paper distils a multi-task teacher and published no code; for one task its divergence remains, and how it is
applied to logits is our choice.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from models.segmenter import SegmentationOutput
from pipeline.distillation.precision import at_least_float32


class CauchySchwarz(nn.Module):
    """As pixel-wise or channel-wise distillation, by a divergence whose gradient stays finite where the two disagree.

    Args:
        over: `classes` compares the class distribution of each cell, `space` the spatial distribution of each class.
    """

    def __init__(self, over: str):
        super().__init__()
        self.over = over

    def forward(
        self, student: SegmentationOutput, teacher: SegmentationOutput, labels: Int64[Tensor, "n H W"]
    ) -> Float[Tensor, ""]:
        return cauchy_schwarz_divergence(student.logits, teacher.logits, self.over)


@at_least_float32
def cauchy_schwarz_divergence(
    student: Float[Tensor, "n k h w"], teacher: Float[Tensor, "n k h w"], over: str
) -> Float[Tensor, ""]:
    """-log of the squared cosine between two distributions, averaged over cells (or over images and classes).

    Symmetric, at least 0, and 0 if and only if the distributions are equal. Computed from logarithms: the products of
    small probabilities would underflow.
    """
    axis = {"classes": 1, "space": 2}[over]
    log_student = F.log_softmax(student.flatten(2), dim=axis)
    log_teacher = F.log_softmax(teacher.flatten(2), dim=axis)
    product = torch.logsumexp(log_student + log_teacher, dim=axis)
    lengths = torch.logsumexp(2 * log_student, dim=axis) + torch.logsumexp(2 * log_teacher, dim=axis)
    return (lengths - 2 * product).mean()
