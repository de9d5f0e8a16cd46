"""Masked Generative Distillation (MGD), arXiv 2205.01529."""

import torch
from jaxtyping import Float
from torch import Tensor

from models.segmenter import SegmentationOutput, Segmenter
from pipeline.distillation.generator import Generator, rebuild
from pipeline.distillation.method import Labels, Maps, Method, Scalar, TeacherMaps, align, at_least_float32
from pipeline.params.sections import Fraction, section


class MGD(Method):
    """Rebuild the teacher's feature map from a copy of the student's in which most cells are blanked out.

    One mask for all channels, drawn anew in every iteration; the cells that stay are not rescaled.
    """

    @section
    class Params:
        hidden_share: Fraction = 0.75  # of the cells, on average; the authors' value

    params: Params

    def __init__(self, params: Params, student: Segmenter, teacher: Segmenter, iterations: int):
        super().__init__(params, student, teacher, iterations)
        self.align = align(student.backbone_channels, teacher.backbone_channels)
        self.generator = Generator(teacher.backbone_channels)

    def forward(self, student: SegmentationOutput, teacher: SegmentationOutput, labels: Labels) -> Scalar:
        cells = student.backbone_features
        return self.error(cells, teacher.backbone_features, torch.rand_like(cells[:, :1]))

    def error(self, student: Maps, teacher: TeacherMaps, uniform: Float[Tensor, "n 1 h w"]) -> Scalar:
        """Compute the loss for given draws from [0, 1), without its weight."""
        kept = (uniform <= 1 - self.params.hidden_share).to(student.dtype)
        rebuilt = rebuild(self.align, self.generator, student, kept, torch.zeros_like(kept))
        return squared_distance(rebuilt, teacher)


@at_least_float32
def squared_distance(student: Maps, teacher: Maps) -> Scalar:
    """Sum the squares over channels and cells, average over images: grows with c*h*w, so the weight must shrink.

    The authors' 2e-5 is for 2048 channels of 64 x 64 cells.
    """
    return (student - teacher).square().sum() / student.shape[0]
