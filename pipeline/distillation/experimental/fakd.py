"""Feature-augmented distillation (FAKD), arXiv 2208.14143: a surrogate.

The authors published no code. The bound below is our derivation from ISDA (arXiv 1909.12220), on which FAKD says it
builds. It was not checked against the paper's equations.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from models.segmenter import Segmenter
from pipeline.data.classes import IGNORE_INDEX
from pipeline.distillation.method import CellLabels, Logits, Method, Output, Scalar, at_least_float32
from pipeline.params.sections import Count, NonNegative, section


class FAKD(Method):
    """Match the teacher's class distribution for all features that are likely for the cell's class, at once.

    A labelled cell's features stand for a Gaussian around them with the (diagonal) covariance of the cell's class. An
    unlabelled cell's features stand only for themselves.
    """

    @section
    class Params:
        strength: NonNegative = 0.5  # factor of the covariance after the ramp; ISDA's value (FAKD's is not known)
        ramp_iterations: Count | None = None  # iterations in which it grows from 0; null: all of the student's

    params: Params

    covariance: Tensor
    mean: Tensor
    count: Tensor
    iteration: Tensor

    def __init__(self, params: Params, student: Segmenter, teacher: Segmenter, iterations: int):
        super().__init__(params, student, teacher, iterations)
        self.classifier: Callable[[], Any] = lambda: student.classifier  # not registered: it is the student's layer
        self.ramp_iterations = params.ramp_iterations or iterations
        classes, channels = student.classes, student.head_channels
        for name, size in (("covariance", (classes, channels)), ("mean", (classes, channels)), ("count", (classes,))):
            self.register_buffer(name, torch.zeros(size))
        self.register_buffer("iteration", torch.zeros((), dtype=torch.int64))

    def forward(self, student: Output, teacher: Output, labels: CellLabels) -> Scalar:
        self._observe(student.head_features.detach(), labels)
        share = (self.iteration / self.ramp_iterations).clamp(max=1)  # stays on the device
        classifier, covariance = self.classifier(), self.params.strength * share * self.covariance
        return augmented_cross_entropy(
            student.head_features, classifier.weight, classifier.bias, teacher.logits, labels, covariance
        )

    def advance(self) -> None:
        self.iteration += 1

    @torch.no_grad()
    @at_least_float32
    def _observe(self, features: Float[Tensor, "n c h w"], labels: CellLabels) -> None:
        """Update mean and variance of every class with this batch (Chan's parallel formula)."""
        cells, flat = features.transpose(0, 1).flatten(1).T, labels.flatten()
        labelled = flat != IGNORE_INDEX  # a factor, as a selection would make the host wait for its size
        flat = torch.where(labelled, flat, 0)
        member = (F.one_hot(flat, len(self.count)) * labelled[:, None]).to(cells).T
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
    features: Float[Tensor, "n c h w"], weight: Float[Tensor, "k c *one"], bias: Float[Tensor, " k"], teacher: Logits,
    labels: CellLabels, covariance: Float[Tensor, "k c"],
) -> Scalar:  # fmt: skip
    """Return an upper bound of the expected soft cross-entropy, if each feature is a Gaussian around its value.

    The bound follows from Jensen's inequality. Each row of `covariance` is the diagonal of one class. If the
    covariance is 0, the bound is the cross-entropy itself.
    """
    weight = weight.flatten(1)
    logits = torch.einsum("kc,nchw->nkhw", weight, features) + bias[:, None, None]
    difference = weight[None] - weight[:, None]  # [a, b] = w_b - w_a
    spread = torch.einsum("yc,abc->yab", covariance, difference.square()) / 2
    labelled = labels != IGNORE_INDEX
    own = spread[torch.where(labelled, labels, 0)] * labelled[..., None, None].to(spread)  # n h w a b
    moved = logits.permute(0, 2, 3, 1)
    log_sums = torch.logsumexp(moved[..., None, :] - moved[..., :, None] + own, dim=-1)  # n h w a
    return (F.softmax(teacher, dim=1).permute(0, 2, 3, 1) * log_sums).sum(dim=-1).mean()
