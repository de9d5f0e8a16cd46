"""Distillation that weighs images by how the teacher does on them, after AdaKD (arXiv 2405.08019): our adaptation.

AdaKD is of speech recognition. Its weight of a sample is exp(-1/sqrt(d)) with a difficulty factor d made of the
teacher's loss; how d is made was read second-hand, and here the mean loss is the batch's.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from models.segmenter import Segmenter
from pipeline.data.classes import IGNORE_INDEX
from pipeline.distillation.method import CellLabels, Logits, Method, Output, Scalar, at_least_float32
from pipeline.params.sections import Count, NonNegative, section


class AdaKD(Method):
    """Class distributions as in `kd`; images that are easy for the teacher count more, later those that are hard."""

    @section
    class Params:
        # How much the teacher's loss decides, per nat, in the first iteration; it falls to its negative. Our choice.
        contrast: NonNegative = 1.0
        ramp_iterations: Count | None = None  # over which it falls; null: all of the student's

    params: Params
    iteration: Tensor

    def __init__(self, params: Params, student: Segmenter, teacher: Segmenter, iterations: int):
        super().__init__(params, student, teacher, iterations)
        self.ramp_iterations = params.ramp_iterations or iterations
        self.register_buffer("iteration", torch.zeros((), dtype=torch.int64))

    def forward(self, student: Output, teacher: Output, labels: CellLabels) -> Scalar:
        share = (self.iteration / self.ramp_iterations).clamp(max=1)  # stays on the device
        weights = image_weights(teacher.logits, labels, self.params.contrast * (1 - 2 * share))
        return weighted_divergence(student.logits, teacher.logits, weights)

    def advance(self) -> None:
        self.iteration += 1


@at_least_float32
def image_weights(teacher: Logits, labels: CellLabels, contrast: float | Scalar) -> Float[Tensor, " n"]:
    """exp(-1/sqrt(d)) with d = exp(-contrast * (loss of the image - mean loss of the batch)), divided by its mean.

    The loss is the teacher's cross-entropy in nats over labelled cells; an image without any is of average difficulty.
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
def weighted_divergence(student: Logits, teacher: Logits, weights: Float[Tensor, " n"]) -> Scalar:
    """Mean over the images of weight * KL(teacher || student), each averaged over its cells."""
    logs = F.log_softmax(student, dim=1), F.log_softmax(teacher, dim=1)
    divergence = F.kl_div(*logs, log_target=True, reduction="none").sum(dim=1).flatten(1).mean(dim=1)
    return (weights * divergence).mean()
