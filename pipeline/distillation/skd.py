"""Structured Knowledge Distillation (SKD), arXiv 1903.04197: its pixel-wise and its pair-wise term."""

import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from models.segmenter import SegmentationOutput
from pipeline.distillation.precision import at_least_float32
from pipeline.training.processes import process_count


class SoftLabels(nn.Module):
    """Cross-entropy with the teacher's class distribution as the label."""

    def forward(
        self, student: SegmentationOutput, teacher: SegmentationOutput, labels: Int64[Tensor, "n H W"]
    ) -> Float[Tensor, ""]:
        # The gradients of several processes are averaged: without the factor it would not grow with the whole batch.
        return process_count() * soft_cross_entropy(student.logits, teacher.logits)


class PairWise(nn.Module):
    """How similar two regions are to each other, compared for all pairs of regions; channels may differ in number.

    Args:
        pool: side of a region in cells; CIRKD uses 2.
    """

    def __init__(self, pool: int):
        super().__init__()
        self.pool = pool

    def forward(
        self, student: SegmentationOutput, teacher: SegmentationOutput, labels: Int64[Tensor, "n H W"]
    ) -> Float[Tensor, ""]:
        return similarity_distance(student.head_features, teacher.head_features, self.pool)


@at_least_float32
def soft_cross_entropy(student: Float[Tensor, "n k h w"], teacher: Float[Tensor, "n k h w"]) -> Float[Tensor, ""]:
    """Summed over the batch and divided by the cells of one image, as the authors do: grows with the batch."""
    cells = student.shape[-2] * student.shape[-1]
    return -(F.softmax(teacher, dim=1) * F.log_softmax(student, dim=1)).sum() / cells


@at_least_float32
def similarity_distance(
    student: Float[Tensor, "n c h w"], teacher: Float[Tensor, "n b h w"], pool: int
) -> Float[Tensor, ""]:
    """Mean squared difference of the cosine similarities of all pairs of regions (CIRKD's variant).

    Regions are max-pooled. The gradient goes through the length of the vectors, which the first authors detach.
    """
    return F.mse_loss(_similarities(student, pool), _similarities(teacher, pool))


def _similarities(features: Float[Tensor, "n c h w"], pool: int) -> Float[Tensor, "n regions regions"]:
    regions = F.max_pool2d(features, pool, stride=pool, ceil_mode=True).flatten(2)
    direction = F.normalize(regions, dim=1)
    return direction.transpose(1, 2) @ direction
