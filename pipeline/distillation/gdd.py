"""Generative Denoise Distillation (GDD), arXiv 2401.08332."""

import torch

from pipeline.distillation.cwd import channel_divergence
from pipeline.distillation.generator import GenerativeMethod, Plane, rebuild
from pipeline.distillation.method import CellLabels, Maps, Output, Scalar, TeacherMaps
from pipeline.params.sections import NonNegative, Positive, section


class GDD(GenerativeMethod):
    """Rebuild the teacher's feature map from a noisy copy of the student's.

    One Gaussian value for each cell, shared by all channels, is added to the student's aligned backbone features. A
    small generator has to recover the teacher's map.
    """

    @section
    class Params:
        temperature: Positive = 4.0  # temperature of each channel's softmax over space; the authors' value
        noise_std: NonNegative = 1.0  # standard deviation in units of aligned features; the authors': 1; 0: no noise

    params: Params

    def forward(self, student: Output, teacher: Output, labels: CellLabels) -> Scalar:
        noise = self.params.noise_std * torch.randn_like(student.backbone_features[:, :1])
        return self.divergence(student.backbone_features, teacher.backbone_features, noise)

    def divergence(self, student: Maps, teacher: TeacherMaps, noise: Plane) -> Scalar:
        """Return the loss for given noise, without its weight."""
        rebuilt = rebuild(self.align, self.generator, student, torch.ones_like(noise), noise)
        return channel_divergence(rebuilt, teacher, self.params.temperature)
