"""Distillation that weights images by the teacher's loss on them, after AdaKD (arXiv 2405.08019): our adaptation.

AdaKD is a method for speech recognition. It weights a sample by exp(-1/sqrt(d)), where the difficulty factor d is
computed from the teacher's loss. The formula of d here comes from a secondary source, with the batch's mean loss.
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
    """Match class distributions as in `kd`; images that are easy for the teacher count more at first, less later."""

    @section
    class Params:
        contrast: NonNegative = 1.0  # effect of the teacher's loss on the weight, per nat, in the first iteration;
        # it falls to its negative; our choice
        ramp_iterations: Count | None = None  # iterations over which it falls; null: all of the student's

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
    """Return exp(-1/sqrt(d)), divided by its mean, with d = exp(-contrast * (image's loss - batch's mean loss)).

    The loss is the teacher's cross-entropy in nats over labelled cells. An image without any has average difficulty.
    """
    loss = F.cross_entropy(teacher, labels, ignore_index=IGNORE_INDEX, reduction="none").flatten(1).sum(dim=1)
    labelled = (labels != IGNORE_INDEX).flatten(1).sum(dim=1)
    known = labelled > 0
    loss = loss / labelled.clamp(min=1)
    average = (loss * known).sum() / known.sum().clamp(min=1)  # 0 if no image has labels: then all losses are 0
    difficulty = torch.exp(-contrast * (torch.where(known, loss, average) - average))
    weights = torch.exp(-difficulty.rsqrt())
    return weights / weights.mean()


@at_least_float32
def weighted_divergence(student: Logits, teacher: Logits, weights: Float[Tensor, " n"]) -> Scalar:
    """Return the mean over the images of weight * KL(teacher || student), each averaged over its cells."""
    logs = F.log_softmax(student, dim=1), F.log_softmax(teacher, dim=1)
    divergence = F.kl_div(*logs, log_target=True, reduction="none").sum(dim=1).flatten(1).mean(dim=1)
    return (weights * divergence).mean()
