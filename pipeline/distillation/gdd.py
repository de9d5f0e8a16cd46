"""Generative Denoise Distillation (GDD), arXiv 2401.08332."""

import torch
from jaxtyping import Float
from torch import Tensor

from models.segmenter import SegmentationOutput, Segmenter
from pipeline.distillation.cwd import channel_divergence
from pipeline.distillation.generator import Generator, rebuild
from pipeline.distillation.method import Labels, Maps, Method, Scalar, TeacherMaps, align
from pipeline.params.sections import NonNegative, Positive, section


class GDD(Method):
    """Rebuild the teacher's feature map from a noisy copy of the student's.

    One Gaussian value for each cell, shared by all channels, is added to the student's aligned backbone features; a
    small generator has to recover what the teacher saw.
    """

    @section
    class Params:
        temperature: Positive = 4.0  # softens the spatial attention of every channel; the authors' value
        noise_std: NonNegative = 1.0  # in units of the aligned features; the authors' noise is not scaled; 0: no noise

    params: Params

    def __init__(self, params: Params, student: Segmenter, teacher: Segmenter, iterations: int):
        super().__init__(params, student, teacher, iterations)
        self.align = align(student.backbone_channels, teacher.backbone_channels)
        self.generator = Generator(teacher.backbone_channels)

    def forward(self, student: SegmentationOutput, teacher: SegmentationOutput, labels: Labels) -> Scalar:
        cells = student.backbone_features
        noise = self.params.noise_std * torch.randn_like(cells[:, :1])
        return self.divergence(cells, teacher.backbone_features, noise)

    def divergence(self, student: Maps, teacher: TeacherMaps, noise: Float[Tensor, "n 1 h w"]) -> Scalar:
        """Compute the loss for given noise, without its weight."""
        rebuilt = rebuild(self.align, self.generator, student, torch.ones_like(noise), noise)
        return channel_divergence(rebuilt, teacher, self.params.temperature)
