"""Binary classification distillation (BCKD), arXiv 2308.14286, adapted from detection to the cells of a map.

The element-wise loss is the authors'. The sum over classes, the mean over cells and the centering are our choice:
networks here are trained with a softmax, which fixes scores only up to a constant for each cell. So their sigmoids mean
nothing until the scores are centered.
"""

import torch.nn.functional as F

from pipeline.distillation.method import CellLabels, Logits, Method, Output, Scalar, at_least_float32
from pipeline.params.sections import NonNegative, section


class BCKD(Method):
    """Treat every class as a separate yes-or-no question, weighted by the student's error."""

    @section
    class Params:
        focus: NonNegative = 1.0  # exponent of the difference that weights an element; the authors' value
        centered: bool = True  # first subtract each cell's mean over the classes, as softmax networks need; our choice

    params: Params

    def forward(self, student: Output, teacher: Output, labels: CellLabels) -> Scalar:
        scores = [student.logits, teacher.logits]
        if self.params.centered:
            scores = [logits - logits.mean(dim=1, keepdim=True) for logits in scores]
        return binary_divergence(scores[0], scores[1], self.params.focus)


@at_least_float32
def binary_divergence(student: Logits, teacher: Logits, focus: float) -> Scalar:
    """Return binary cross-entropy times |difference of the sigmoids|**focus; the gradient includes this factor."""
    target = teacher.sigmoid()
    off = (target - student.sigmoid()).abs() ** focus
    entropy = F.binary_cross_entropy_with_logits(student, target, reduction="none")
    return (off * entropy).sum() / (student.numel() / student.shape[1])
