"""Distillation that trusts the teacher cell by cell, after an idea of FerKD (ICCV 2023): our adaptation.

FerKD classifies whole crops: it drops or relabels those that the teacher is very sure or very unsure of. Here the cells
of a segmentation are what is sorted.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from models.segmenter import SegmentationOutput
from pipeline.data.classes import IGNORE_INDEX
from pipeline.distillation.cells import labels_at_cells
from pipeline.distillation.precision import at_least_float32


class TrustedCells(nn.Module):
    """Follow the teacher's class distribution where it may be right, the smoothed label where it hardly is.

    Args:
        unsure_below: a wrong teacher whose largest probability is below this is not followed...
        sure_above: ...nor one that is above this: it is wrong and sure of it.
        smoothing: share of the label's probability that goes to all classes alike.
    """

    def __init__(self, unsure_below: float, sure_above: float, smoothing: float):
        super().__init__()
        self.unsure_below = unsure_below
        self.sure_above = sure_above
        self.smoothing = smoothing

    def forward(
        self, student: SegmentationOutput, teacher: SegmentationOutput, labels: Int64[Tensor, "n H W"]
    ) -> Float[Tensor, ""]:
        at_cells = labels_at_cells(labels, *student.logits.shape[-2:])
        trusted = trusted_cells(teacher.logits, at_cells, self.unsure_below, self.sure_above)
        return calibrated_divergence(student.logits, teacher.logits, at_cells, trusted, self.smoothing)


@at_least_float32
def trusted_cells(
    teacher: Float[Tensor, "n k h w"], labels: Int64[Tensor, "n h w"], unsure_below: float, sure_above: float
) -> Bool[Tensor, "n h w"]:
    """Where the teacher is followed: it is right, nobody knows better, or it is wrong and moderately sure."""
    confidence, prediction = F.softmax(teacher, dim=1).max(dim=1)
    moderate = (confidence >= unsure_below) & (confidence <= sure_above)
    return (prediction == labels) | (labels == IGNORE_INDEX) | moderate


@at_least_float32
def calibrated_divergence(
    student: Float[Tensor, "n k h w"],
    teacher: Float[Tensor, "n k h w"],
    labels: Int64[Tensor, "n h w"],
    trusted: Bool[Tensor, "n h w"],
    smoothing: float,
) -> Float[Tensor, ""]:
    """KL(target || student), averaged over the cells; the target is the teacher's softmax or the smoothed label."""
    classes = student.shape[1]
    hard = F.one_hot(torch.where(labels == IGNORE_INDEX, 0, labels), classes).movedim(-1, 1).to(student)
    smoothed = (1 - smoothing) * hard + smoothing / classes
    target = torch.where(trusted[:, None], F.softmax(teacher, dim=1), smoothed)
    return F.kl_div(F.log_softmax(student, dim=1), target, reduction="sum") / labels.numel()
