"""Masked Generative Distillation (MGD), arXiv 2205.01529."""

import torch

from pipeline.distillation.generator import GenerativeMethod, Plane, rebuild
from pipeline.distillation.method import CellLabels, Maps, Output, Scalar, TeacherMaps, at_least_float32
from pipeline.params.sections import Fraction, section


class MGD(GenerativeMethod):
    """Rebuild the teacher's feature map from a copy of the student's in which most cells are masked out.

    Every iteration draws a new mask, which all channels share. The cells that stay are not rescaled.
    """

    @section
    class Params:
        hidden_share: Fraction = 0.75  # mean share of the cells that are masked out; the authors' value

    params: Params

    def forward(self, student: Output, teacher: Output, labels: CellLabels) -> Scalar:
        uniform = uniforms_like(student.backbone_features)
        return self.error(student.backbone_features, teacher.backbone_features, uniform)

    def error(self, student: Maps, teacher: TeacherMaps, uniform: Plane) -> Scalar:
        """Return the loss for given draws from [0, 1), without its weight."""
        kept = (uniform <= 1 - self.params.hidden_share).to(student.dtype)
        return squared_distance(rebuild(self.align, self.generator, student, kept, torch.zeros_like(kept)), teacher)


def uniforms_like(maps: Maps) -> Plane:
    """Draw from [0, 1) for each cell, in float32 or wider: 25.3 % of bf16 draws are at most 0.25."""
    return torch.rand_like(maps[:, :1], dtype=torch.promote_types(maps.dtype, torch.float32))


@at_least_float32
def squared_distance(student: Maps, teacher: Maps) -> Scalar:
    """Return the squared difference, summed over channels and cells and averaged over images.

    It grows with c*h*w, so the weight must shrink. The authors' 2e-5 is for 2048 channels of 64 x 64 cells.
    """
    return (student - teacher).square().sum() / student.shape[0]
