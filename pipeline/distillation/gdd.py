"""Generative Denoise Distillation (GDD), arXiv 2401.08332."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from models.segmenter import SegmentationOutput


class GenerativeDenoise(nn.Module):
    """Rebuild the teacher's feature map from a noisy copy of the student's.

    One Gaussian value for each cell, shared by all channels, is added to the student's aligned backbone features; a
    small generator has to recover what the teacher saw. Align and generator are trained with the student and thrown
    away after training. Where the teacher's map has another size it is resized to the student's.

    Args:
        temperature: softens the spatial attention of every channel; the authors use 4.
        noise_std: in units of the aligned features; the authors use 1, and 0 turns the noise off.
    """

    def __init__(self, student_channels: int, teacher_channels: int, temperature: float, noise_std: float):
        super().__init__()
        self.temperature = temperature
        self.noise_std = noise_std
        self.align = (
            nn.Identity()
            if student_channels == teacher_channels
            else nn.Conv2d(student_channels, teacher_channels, kernel_size=1)
        )
        self.generator = nn.Sequential(
            nn.Conv2d(teacher_channels, teacher_channels, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(teacher_channels, teacher_channels, kernel_size=3, padding=1),
        )

    def forward(self, student: SegmentationOutput, teacher: SegmentationOutput) -> Float[Tensor, ""]:
        cells = student.backbone_features
        noise = self.noise_std * torch.randn_like(cells[:, :1])
        return self.divergence(cells, teacher.backbone_features, noise)

    def divergence(
        self, student: Float[Tensor, "n c h w"], teacher: Float[Tensor, "n b h2 w2"], noise: Float[Tensor, "n 1 h w"]
    ) -> Float[Tensor, ""]:
        """The loss for given noise, without its weight."""
        if teacher.shape[-2:] != student.shape[-2:]:
            teacher = F.interpolate(teacher, size=student.shape[-2:], mode="bilinear", align_corners=False)
        return channel_divergence(self.generator(self.align(student) + noise), teacher, self.temperature)


def channel_divergence(
    student: Float[Tensor, "n c h w"], teacher: Float[Tensor, "n c h w"], temperature: float
) -> Float[Tensor, ""]:
    """KL(teacher || student) between spatial softmaxes, averaged over the n*c maps.

    Times temperature**2, so that the gradient's size does not depend on the temperature. Computed in float32 at least.
    Zero if and only if every pair of maps agrees up to a constant.
    """
    dtype = torch.promote_types(student.dtype, torch.float32)
    log_student = F.log_softmax(student.flatten(2).to(dtype) / temperature, dim=-1)
    log_teacher = F.log_softmax(teacher.flatten(2).to(dtype) / temperature, dim=-1)
    divergence = F.kl_div(log_student, log_teacher, log_target=True, reduction="sum")
    return divergence / (student.shape[0] * student.shape[1]) * temperature**2
