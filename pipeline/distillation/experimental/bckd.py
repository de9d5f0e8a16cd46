"""Binary classification distillation (BCKD), arXiv 2308.14286, brought from detection to cells of a map.

The authors' element-wise loss is kept; sum over classes and mean over cells is our choice, as is centering.
"""

import torch.nn.functional as F

from pipeline.distillation.method import CellLabels, Logits, Method, Output, Scalar, at_least_float32
from pipeline.params.sections import NonNegative, section


class BCKD(Method):
    """Every class is a yes-or-no question of its own, weighted by how far the student is off."""

    @section
    class Params:
        focus: NonNegative = 1.0  # exponent of the difference that weights an element; the authors' value
        # Subtract the mean over the classes at each cell first. Our choice: networks here are trained with a softmax,
        # which defines scores up to a constant for each cell, so their sigmoids mean nothing until that is fixed.
        centered: bool = True

    params: Params

    def forward(self, student: Output, teacher: Output, labels: CellLabels) -> Scalar:
        scores = [student.logits, teacher.logits]
        if self.params.centered:
            scores = [logits - logits.mean(dim=1, keepdim=True) for logits in scores]
        return binary_divergence(scores[0], scores[1], self.params.focus)


@at_least_float32
def binary_divergence(student: Logits, teacher: Logits, focus: float) -> Scalar:
    """Binary cross-entropy times |difference of the sigmoids|**focus; the factor is differentiated, as theirs is."""
    target = teacher.sigmoid()
    off = (target - student.sigmoid()).abs() ** focus
    entropy = F.binary_cross_entropy_with_logits(student, target, reduction="none")
    return (off * entropy).sum() / (student.numel() / student.shape[1])
