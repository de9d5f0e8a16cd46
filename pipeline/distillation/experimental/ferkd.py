"""Distillation that trusts the teacher cell by cell, after an idea of FerKD (ICCV 2023): our adaptation.

FerKD classifies whole crops: it drops or relabels crops of which the teacher is very sure or very unsure. Here each
cell of a segmentation is sorted instead. The authors' released code does not sort: it reads labels that were sorted
before, and has no thresholds.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool
from pydantic import model_validator
from torch import Tensor

from pipeline.data.classes import IGNORE_INDEX
from pipeline.distillation.method import CellLabels, Logits, Method, Output, Scalar, at_least_float32
from pipeline.params.sections import Fraction, section

Trust = Literal["correct", "confidence"]


class FerKD(Method):
    """Match the teacher's class distribution where the teacher is trusted, and the smoothed label elsewhere."""

    @section
    class Params:
        """The defaults are our choice: FerKD sorts whole crops."""

        trust: Trust = "correct"  # correct: also trust the teacher wherever it is right;
        # confidence: FerKD's rule, which uses no label
        unsure_below: Fraction = 0.4  # do not trust the teacher where its largest probability is below this
        sure_above: Fraction = 0.95  # do not trust the teacher where its largest probability is above this
        smoothing: Fraction = 0.1  # share of the label's probability that is spread over all classes

        @model_validator(mode="after")
        def _ordered(self) -> "FerKD.Params":
            if self.unsure_below > self.sure_above:
                raise ValueError(f"unsure_below {self.unsure_below} is above sure_above {self.sure_above}; lower it")
            return self

    params: Params

    def forward(self, student: Output, teacher: Output, labels: CellLabels) -> Scalar:
        params = self.params
        trusted = trusted_cells(teacher.logits, labels, params.unsure_below, params.sure_above, params.trust)
        return calibrated_divergence(student.logits, teacher.logits, labels, trusted, params.smoothing)


@at_least_float32
def trusted_cells(
    teacher: Logits, labels: CellLabels, unsure_below: float, sure_above: float, trust: Trust
) -> Bool[Tensor, "n h w"]:
    """Return where the teacher is trusted: it is moderately sure, there is no label, or (`correct`) it is right."""
    confidence, prediction = F.softmax(teacher, dim=1).max(dim=1)
    trusted = (confidence >= unsure_below) & (confidence <= sure_above) | (labels == IGNORE_INDEX)
    return trusted | (prediction == labels) if trust == "correct" else trusted


@at_least_float32
def calibrated_divergence(
    student: Logits, teacher: Logits, labels: CellLabels, trusted: Bool[Tensor, "n h w"], smoothing: float
) -> Scalar:
    """Return KL(target || student), averaged over cells; the target is the teacher's softmax or the smoothed label."""
    classes = student.shape[1]
    hard = F.one_hot(torch.where(labels == IGNORE_INDEX, 0, labels), classes).movedim(-1, 1).to(student)
    smoothed = (1 - smoothing) * hard + smoothing / classes
    target = torch.where(trusted[:, None], F.softmax(teacher, dim=1), smoothed)
    return F.kl_div(F.log_softmax(student, dim=1), target, reduction="sum") / labels.numel()
