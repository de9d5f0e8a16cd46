"""Feature-augmented distillation (FAKD), arXiv 2208.14143: a surrogate.

The authors published no code. The bound below is our derivation from ISDA (arXiv 1909.12220), whose idea FAKD names; it
was not checked against the paper's equations.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from models.segmenter import SegmentationOutput, Segmenter
from pipeline.data.classes import IGNORE_INDEX
from pipeline.distillation.method import (
    CellLabels,
    Labels,
    Logits,
    Maps,
    Method,
    Scalar,
    at_least_float32,
    labels_at_cells,
)  # fmt: skip
from pipeline.params.sections import Count, NonNegative, section


class FAKD(Method):
    """Learn the teacher's class distribution for all features that the cell's class makes likely, at once.

    Each cell's features stand for a Gaussian around them with the (diagonal) covariance of their class. Cells without a
    label stand for themselves.
    """

    @section
    class Params:
        strength: NonNegative = 0.5  # of the covariance at the end of the ramp; ISDA's value, FAKD's own is not known
        ramp_iterations: Count | None = None  # over which the strength grows from 0; null: all of the student's

    params: Params

    covariance: Tensor
    mean: Tensor
    count: Tensor
    iteration: Tensor

    def __init__(self, params: Params, student: Segmenter, teacher: Segmenter, iterations: int):
        super().__init__(params, student, teacher, iterations)
        self.classifier = lambda: student.classifier  # not registered as a layer of the method: it is the student's
        self.ramp_iterations = params.ramp_iterations or iterations
        classes, channels = student.classes, student.head_channels
        self.register_buffer("covariance", torch.zeros(classes, channels))
        self.register_buffer("mean", torch.zeros(classes, channels))
        self.register_buffer("count", torch.zeros(classes))
        self.register_buffer("iteration", torch.zeros((), dtype=torch.int64))

    def forward(self, student: SegmentationOutput, teacher: SegmentationOutput, labels: Labels) -> Scalar:
        at_cells = labels_at_cells(labels, *student.head_features.shape[-2:])
        self._observe(student.head_features.detach(), at_cells)
        share = (self.iteration / self.ramp_iterations).clamp(max=1)  # stays on the device
        self.iteration += 1
        classifier = self.classifier()
        return augmented_cross_entropy(
            student.head_features,
            classifier.weight,
            classifier.bias,  # type: ignore[reportArgumentType]: it has one
            teacher.logits,
            at_cells,
            self.params.strength * share * self.covariance,
        )

    @torch.no_grad()
    @at_least_float32
    def _observe(self, features: Maps, labels: CellLabels) -> None:
        """Bring mean and variance of every class up to date with this batch (Chan's parallel formula)."""
        cells = features.transpose(0, 1).flatten(1).T
        flat = labels.flatten()
        cells, flat = cells[flat != IGNORE_INDEX], flat[flat != IGNORE_INDEX]
        member = F.one_hot(flat, len(self.count)).to(cells).T
        new = member.sum(dim=1)
        total = (self.count + new).clamp(min=1)
        new_mean = member @ cells / new.clamp(min=1)[:, None]
        new_variance = member @ (cells - new_mean[flat]).square() / new.clamp(min=1)[:, None]
        share = (new / total)[:, None]
        shift = (1 - share) * share * (new_mean - self.mean).square()
        self.covariance.copy_((1 - share) * self.covariance + share * new_variance + shift)
        self.mean.copy_((1 - share) * self.mean + share * new_mean)
        self.count += new


@at_least_float32
def augmented_cross_entropy(
    features: Maps, weight: Float[Tensor, "k c *one"], bias: Float[Tensor, " k"], teacher: Logits, labels: CellLabels,
    covariance: Float[Tensor, "k c"],
) -> Scalar:  # fmt: skip
    """Bound the expected soft cross-entropy from above when each feature is a Gaussian around what was seen.

    By Jensen's inequality. With no covariance it is the soft cross-entropy itself.

    Args:
        covariance: diagonal, one row for each class, already scaled.
    """
    weight = weight.flatten(1)
    logits = torch.einsum("kc,nchw->nkhw", weight, features) + bias[:, None, None]
    difference = weight[None] - weight[:, None]  # [a, b] = w_b - w_a
    spread = torch.einsum("yc,abc->yab", covariance, difference.square()) / 2
    labelled = (labels != IGNORE_INDEX).to(spread)
    own = spread[torch.where(labels != IGNORE_INDEX, labels, 0)] * labelled[..., None, None]  # n h w a b
    moved = logits.permute(0, 2, 3, 1)
    log_sums = torch.logsumexp(moved[..., None, :] - moved[..., :, None] + own, dim=-1)  # n h w a
    return (F.softmax(teacher, dim=1).permute(0, 2, 3, 1) * log_sums).sum(dim=-1).mean()
