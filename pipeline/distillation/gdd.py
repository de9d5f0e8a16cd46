"""Generative Denoise Distillation (GDD), arXiv 2401.08332."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from models.segmenter import SegmentationOutput
from pipeline.distillation.align import align
from pipeline.distillation.cwd import channel_divergence
from pipeline.distillation.generator import Generator, rebuild


class GenerativeDenoise(nn.Module):
    """Rebuild the teacher's feature map from a noisy copy of the student's.

    One Gaussian value for each cell, shared by all channels, is added to the student's aligned backbone features; a
    small generator has to recover what the teacher saw. Align and generator are trained with the student and thrown
    away after training.

    Args:
        temperature: softens the spatial attention of every channel; the authors use 4.
        noise_std: in units of the aligned features; the authors use 1, and 0 turns the noise off.
    """

    def __init__(self, student_channels: int, teacher_channels: int, temperature: float, noise_std: float):
        super().__init__()
        self.temperature = temperature
        self.noise_std = noise_std
        self.align = align(student_channels, teacher_channels)
        self.generator = Generator(teacher_channels)

    def forward(
        self, student: SegmentationOutput, teacher: SegmentationOutput, labels: Int64[Tensor, "n H W"]
    ) -> Float[Tensor, ""]:
        cells = student.backbone_features
        noise = self.noise_std * torch.randn_like(cells[:, :1])
        return self.divergence(cells, teacher.backbone_features, noise)

    def divergence(
        self, student: Float[Tensor, "n c h w"], teacher: Float[Tensor, "n b h w"], noise: Float[Tensor, "n 1 h w"]
    ) -> Float[Tensor, ""]:
        """The loss for given noise, without its weight."""
        rebuilt = rebuild(self.align, self.generator, student, torch.ones_like(noise), noise)
        return channel_divergence(rebuilt, teacher, self.temperature)
