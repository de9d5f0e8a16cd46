"""Pixel-wise distillation of logits (KD), arXiv 1503.02531."""

import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from models.segmenter import SegmentationOutput
from pipeline.distillation.precision import at_least_float32


class PixelWise(nn.Module):
    """Every cell's distribution over the classes has to follow the teacher's, unlabelled cells included."""

    def __init__(self, temperature: float):
        super().__init__()
        self.temperature = temperature

    def forward(
        self, student: SegmentationOutput, teacher: SegmentationOutput, labels: Int64[Tensor, "n H W"]
    ) -> Float[Tensor, ""]:
        return class_divergence(student.logits, teacher.logits, self.temperature)


@at_least_float32
def class_divergence(
    student: Float[Tensor, "n k h w"], teacher: Float[Tensor, "n k h w"], temperature: float
) -> Float[Tensor, ""]:
    """KL(teacher || student) between softmaxes over the classes, averaged over the cells, times temperature**2.

    The reduction is CIRKD's. IFVD's averages over the classes as well: its weight of 10 is one of 10/k here.
    """
    log_student = F.log_softmax(student / temperature, dim=1)
    log_teacher = F.log_softmax(teacher / temperature, dim=1)
    divergence = F.kl_div(log_student, log_teacher, log_target=True, reduction="sum")
    return divergence / (student.numel() / student.shape[1]) * temperature**2
