"""Cauchy-Schwarz divergence between distributions, for distillation (Xu, Yang and Zhang, ICCV 2023).

The paper distils a multi-task teacher and published no code; for one task its divergence remains, and how it is
applied to logits is our choice.
"""

from typing import Literal

import torch
import torch.nn.functional as F

from pipeline.distillation.method import CellLabels, Logits, Method, Output, Scalar, at_least_float32
from pipeline.params.sections import section


class CauchySchwarz(Method):
    """Like pixel-wise or channel-wise distillation, by a divergence whose gradient stays finite where they disagree."""

    @section
    class Params:
        # `classes` compares the class distribution of each cell, `space` the spatial distribution of each class.
        over: Literal["classes", "space"] = "classes"  # our choice

    params: Params

    def forward(self, student: Output, teacher: Output, labels: CellLabels) -> Scalar:
        return cauchy_schwarz_divergence(student.logits, teacher.logits, self.params.over)


@at_least_float32
def cauchy_schwarz_divergence(student: Logits, teacher: Logits, over: str) -> Scalar:
    """-log of the squared cosine between two distributions, averaged over cells (or over images and classes).

    Symmetric, at least 0, and 0 if and only if the distributions are equal. In logarithms, as products would underflow.
    """
    axis = {"classes": 1, "space": 2}[over]
    log_student, log_teacher = (F.log_softmax(logits.flatten(2), dim=axis) for logits in (student, teacher))
    product = torch.logsumexp(log_student + log_teacher, dim=axis)
    lengths = torch.logsumexp(2 * log_student, dim=axis) + torch.logsumexp(2 * log_teacher, dim=axis)
    return (lengths - 2 * product).mean()
