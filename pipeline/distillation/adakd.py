"""Distillation that weighs images by how the teacher does on them, after AdaKD (arXiv 2405.08019): our adaptation.

AdaKD is of speech recognition. Its weight of a sample is exp(-1/sqrt(d)) with a difficulty factor d made of the
teacher's loss; how d is made was read second-hand, and here the mean loss is the batch's.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from models.segmenter import SegmentationOutput
from pipeline.data.classes import IGNORE_INDEX
from pipeline.distillation.cells import labels_at_cells
from pipeline.distillation.precision import at_least_float32


class AdaptivelyWeighted(nn.Module):
    """Class distributions as in `kd`; images that are easy for the teacher count more, later those that are hard.

    Args:
        contrast: how much the teacher's loss decides, per nat, in the first iteration; it falls to its negative.
        ramp_iterations: over which it falls.
    """

    iteration: Tensor

    def __init__(self, contrast: float, ramp_iterations: int):
        super().__init__()
        self.contrast = contrast
        self.ramp_iterations = ramp_iterations
        self.register_buffer("iteration", torch.zeros((), dtype=torch.int64))

    def forward(
        self, student: SegmentationOutput, teacher: SegmentationOutput, labels: Int64[Tensor, "n H W"]
    ) -> Float[Tensor, ""]:
        share = (self.iteration / self.ramp_iterations).clamp(max=1)  # stays on the device
        self.iteration += 1
        at_cells = labels_at_cells(labels, *student.logits.shape[-2:])
        weights = image_weights(teacher.logits, at_cells, self.contrast * (1 - 2 * share))
        return weighted_divergence(student.logits, teacher.logits, weights)


@at_least_float32
def image_weights(
    teacher: Float[Tensor, "n k h w"], labels: Int64[Tensor, "n h w"], contrast: float | Float[Tensor, ""]
) -> Float[Tensor, " n"]:
    """exp(-1/sqrt(d)) with d = exp(-contrast * (loss of the image - mean loss of the batch)), divided by its mean.

    The loss is the teacher's cross-entropy in nats, averaged over the labelled cells of an image; an image without any
    is of average difficulty. The mean is 1, so that the method's weight means what it means for `kd`.
    """
    loss = F.cross_entropy(teacher, labels, ignore_index=IGNORE_INDEX, reduction="none").flatten(1).sum(dim=1)
    labelled = (labels != IGNORE_INDEX).flatten(1).sum(dim=1)
    known = labelled > 0
    loss = loss / labelled.clamp(min=1)
    average = (loss * known).sum() / known.sum().clamp(min=1)  # 0 where none is known: then so are all losses
    difficulty = torch.exp(-contrast * (torch.where(known, loss, average) - average))
    weights = torch.exp(-difficulty.rsqrt())
    return weights / weights.mean()


@at_least_float32
def weighted_divergence(
    student: Float[Tensor, "n k h w"], teacher: Float[Tensor, "n k h w"], weights: Float[Tensor, " n"]
) -> Float[Tensor, ""]:
    """Mean over the images of weight * KL(teacher || student), each averaged over its cells."""
    log_student, log_teacher = F.log_softmax(student, dim=1), F.log_softmax(teacher, dim=1)
    divergence = F.kl_div(log_student, log_teacher, log_target=True, reduction="none").sum(dim=1).flatten(1).mean(dim=1)
    return (weights * divergence).mean()
