"""Channel-wise distillation (CWD), arXiv 2011.13256."""

import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from models.segmenter import SegmentationOutput
from pipeline.distillation.precision import at_least_float32


class ChannelWise(nn.Module):
    """Every class has a softmax over space, on the logits; the student's has to follow the teacher's.

    Says nothing about the classes' offsets against each other: a constant added to a whole map changes nothing, so it
    is usually combined with pixel-wise distillation.
    """

    def __init__(self, temperature: float):
        super().__init__()
        self.temperature = temperature

    def forward(
        self, student: SegmentationOutput, teacher: SegmentationOutput, labels: Int64[Tensor, "n H W"]
    ) -> Float[Tensor, ""]:
        return channel_divergence(student.logits, teacher.logits, self.temperature)


class ChannelWiseFeatures(nn.Module):
    """The same on the head's features, the student's brought to the teacher's channels by a 1x1 convolution.

    Averaged over the teacher's channels, as in the paper; CIRKD's code averages over the student's, so its weight of
    50 is one of 100 (128 to 256 channels) or 200 (128 to 512) here.
    """

    def __init__(self, student_channels: int, teacher_channels: int, temperature: float):
        super().__init__()
        self.temperature = temperature
        self.align = nn.Conv2d(student_channels, teacher_channels, kernel_size=1, bias=False)

    def forward(
        self, student: SegmentationOutput, teacher: SegmentationOutput, labels: Int64[Tensor, "n H W"]
    ) -> Float[Tensor, ""]:
        return channel_divergence(self.align(student.head_features), teacher.head_features, self.temperature)


@at_least_float32
def channel_divergence(
    student: Float[Tensor, "n c h w"], teacher: Float[Tensor, "n c h w"], temperature: float
) -> Float[Tensor, ""]:
    """KL(teacher || student) between spatial softmaxes, averaged over the n*c maps.

    Times temperature**2, so that the gradient's size does not depend on the temperature. Zero if and only if every
    pair of maps agrees up to a constant.
    """
    log_student = F.log_softmax(student.flatten(2) / temperature, dim=-1)
    log_teacher = F.log_softmax(teacher.flatten(2) / temperature, dim=-1)
    divergence = F.kl_div(log_student, log_teacher, log_target=True, reduction="sum")
    return divergence / (student.shape[0] * student.shape[1]) * temperature**2
