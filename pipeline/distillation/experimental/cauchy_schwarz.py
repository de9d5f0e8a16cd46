"""Cauchy-Schwarz divergence between distributions, for distillation (Xu, Yang and Zhang, ICCV 2023).

The paper distils a multi-task teacher, and its authors published no code. For one task, only its divergence remains.
How it is applied to logits is our choice.
"""

from typing import Literal

import torch
import torch.nn.functional as F

from pipeline.distillation.method import CellLabels, Logits, Method, Output, Scalar, at_least_float32
from pipeline.params.sections import section


class CauchySchwarz(Method):
    """Match distributions as `kd` or `cwd` do, by a divergence whose gradient stays finite where they disagree."""

    @section
    class Params:
        # classes compares each cell's distribution over classes; space compares each class's distribution over cells;
        # our choice
        over: Literal["classes", "space"] = "classes"

    params: Params

    def forward(self, student: Output, teacher: Output, labels: CellLabels) -> Scalar:
        return cauchy_schwarz_divergence(student.logits, teacher.logits, self.params.over)


@at_least_float32
def cauchy_schwarz_divergence(student: Logits, teacher: Logits, over: str) -> Scalar:
    """Return -log of the squared cosine between two distributions, averaged over cells (or over images and classes).

    It is symmetric, at least 0, and 0 if and only if the distributions are equal. It is computed in logarithms, because
    products would underflow.
    """
    axis = {"classes": 1, "space": 2}[over]
    log_student, log_teacher = (F.log_softmax(logits.flatten(2), dim=axis) for logits in (student, teacher))
    product = torch.logsumexp(log_student + log_teacher, dim=axis)
    lengths = torch.logsumexp(2 * log_student, dim=axis) + torch.logsumexp(2 * log_teacher, dim=axis)
    return (lengths - 2 * product).mean()
