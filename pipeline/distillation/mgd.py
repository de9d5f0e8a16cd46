"""Masked Generative Distillation (MGD), arXiv 2205.01529."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from models.segmenter import SegmentationOutput
from pipeline.distillation.align import align
from pipeline.distillation.generator import Generator, rebuild
from pipeline.distillation.precision import at_least_float32


class MaskedGenerative(nn.Module):
    """Rebuild the teacher's feature map from a copy of the student's in which most cells are blanked out.

    One mask for all channels, drawn anew in every iteration; the cells that stay are not rescaled.

    Args:
        hidden_share: of the cells, on average; the authors use 0.75.
    """

    def __init__(self, student_channels: int, teacher_channels: int, hidden_share: float):
        super().__init__()
        self.hidden_share = hidden_share
        self.align = align(student_channels, teacher_channels)
        self.generator = Generator(teacher_channels)

    def forward(
        self, student: SegmentationOutput, teacher: SegmentationOutput, labels: Int64[Tensor, "n H W"]
    ) -> Float[Tensor, ""]:
        cells = student.backbone_features
        return self.error(cells, teacher.backbone_features, torch.rand_like(cells[:, :1]))

    def error(
        self, student: Float[Tensor, "n c h w"], teacher: Float[Tensor, "n b h w"], uniform: Float[Tensor, "n 1 h w"]
    ) -> Float[Tensor, ""]:
        """The loss for given draws from [0, 1), without its weight."""
        kept = (uniform <= 1 - self.hidden_share).to(student.dtype)
        rebuilt = rebuild(self.align, self.generator, student, kept, torch.zeros_like(kept))
        return squared_distance(rebuilt, teacher)


@at_least_float32
def squared_distance(student: Float[Tensor, "n c h w"], teacher: Float[Tensor, "n c h w"]) -> Float[Tensor, ""]:
    """Sum of squares over channels and cells, mean over images: grows with c*h*w, and so must the weight shrink.

    The authors' 2e-5 is for 2048 channels of 64 x 64 cells.
    """
    return (student - teacher).square().sum() / student.shape[0]
