"""Binary classification distillation (BCKD), arXiv 2308.14286, brought from detection to cells of a map.

The authors' element-wise loss is kept; sum over classes and mean over cells is our choice, as is centering.
"""

import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from models.segmenter import SegmentationOutput
from pipeline.distillation.precision import at_least_float32


class BinaryScores(nn.Module):
    """Every class is a yes-or-no question of its own, weighted by how far the student is off.

    Scores that were trained with a softmax are only defined up to a constant for each cell, so sigmoids of them mean
    nothing until that constant is fixed.

    Args:
        focus: exponent of the difference that weights an element; the authors use 1.
        centered: subtract the mean over the classes at each cell first; off for networks trained with sigmoids.
    """

    def __init__(self, focus: float, centered: bool):
        super().__init__()
        self.focus = focus
        self.centered = centered

    def forward(
        self, student: SegmentationOutput, teacher: SegmentationOutput, labels: Int64[Tensor, "n H W"]
    ) -> Float[Tensor, ""]:
        scores = [student.logits, teacher.logits]
        if self.centered:
            scores = [logits - logits.mean(dim=1, keepdim=True) for logits in scores]
        return binary_divergence(scores[0], scores[1], self.focus)


@at_least_float32
def binary_divergence(
    student: Float[Tensor, "n k h w"], teacher: Float[Tensor, "n k h w"], focus: float
) -> Float[Tensor, ""]:
    """Binary cross-entropy times |difference of the sigmoids|**focus; the factor is differentiated, as theirs is."""
    target = teacher.sigmoid()
    off = (target - student.sigmoid()).abs() ** focus
    entropy = F.binary_cross_entropy_with_logits(student, target, reduction="none")
    return (off * entropy).sum() / (student.numel() / student.shape[1])
