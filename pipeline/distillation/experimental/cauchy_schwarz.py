"""Cauchy-Schwarz divergence between distributions, for distillation (Xu, Yang and Zhang, ICCV 2023).

The paper distils a multi-task teacher and published no code; for one task its divergence remains, and how it is
applied to logits is our choice.
"""

from typing import Literal

import torch
import torch.nn.functional as F

from models.segmenter import SegmentationOutput
from pipeline.distillation.method import Labels, Logits, Method, Scalar, at_least_float32
from pipeline.params.sections import section


class CauchySchwarz(Method):
    """Like pixel-wise or channel-wise distillation, by a divergence whose gradient stays finite where they disagree."""

    @section
    class Params:
        # `classes` compares the class distribution of each cell, `space` the spatial distribution of each class.
        over: Literal["classes", "space"] = "classes"  # our choice

    params: Params

    def forward(self, student: SegmentationOutput, teacher: SegmentationOutput, labels: Labels) -> Scalar:
        return cauchy_schwarz_divergence(student.logits, teacher.logits, self.params.over)


@at_least_float32
def cauchy_schwarz_divergence(student: Logits, teacher: Logits, over: str) -> Scalar:
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
