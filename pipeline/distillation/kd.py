"""Pixel-wise distillation of logits (KD), arXiv 1503.02531."""

import torch.nn.functional as F

from pipeline.distillation.method import CellLabels, Logits, Method, Output, Scalar, at_least_float32
from pipeline.params.sections import Positive, section


class KD(Method):
    """Match each cell's distribution over the classes with the teacher's, also for unlabelled cells."""

    @section
    class Params:
        temperature: Positive = 1.0  # temperature of both softmaxes; CIRKD's value

    params: Params

    def forward(self, student: Output, teacher: Output, labels: CellLabels) -> Scalar:
        return class_divergence(student.logits, teacher.logits, self.params.temperature)


@at_least_float32
def class_divergence(student: Logits, teacher: Logits, temperature: float) -> Scalar:
    """Return KL(teacher || student) between softmaxes over the classes, averaged over cells, times temperature**2.

    The reduction is CIRKD's. IFVD's also averages over the k classes, so its weight of 10 is a weight of 10/k here.
    """
    log_student, log_teacher = (F.log_softmax(logits / temperature, dim=1) for logits in (student, teacher))
    divergence = F.kl_div(log_student, log_teacher, log_target=True, reduction="sum")
    return divergence / (student.numel() / student.shape[1]) * temperature**2
