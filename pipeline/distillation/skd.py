"""Structured Knowledge Distillation (SKD), arXiv 1903.04197: its pixel-wise and its pair-wise term."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from models.segmenter import SegmentationOutput
from pipeline.distillation.method import Labels, Logits, Maps, Method, Scalar, TeacherMaps, at_least_float32
from pipeline.params.sections import Count, section
from pipeline.training.processes import process_count


class SKDPixel(Method):
    """Cross-entropy with the teacher's class distribution as the label."""

    def forward(self, student: SegmentationOutput, teacher: SegmentationOutput, labels: Labels) -> Scalar:
        # The gradients of several processes are averaged: without the factor it would not grow with the whole batch.
        return process_count() * soft_cross_entropy(student.logits, teacher.logits)


class SKDPair(Method):
    """How similar two regions are to each other, compared for all pairs of regions; channels may differ in number."""

    @section
    class Params:
        pool: Count = 2  # cells, side of a region; CIRKD's value, the first authors compare four regions

    params: Params

    def forward(self, student: SegmentationOutput, teacher: SegmentationOutput, labels: Labels) -> Scalar:
        return similarity_distance(student.head_features, teacher.head_features, self.params.pool)


@at_least_float32
def soft_cross_entropy(student: Logits, teacher: Logits) -> Scalar:
    """Summed over the batch and divided by the cells of one image, as the authors do: grows with the batch."""
    cells = student.shape[-2] * student.shape[-1]
    return -(F.softmax(teacher, dim=1) * F.log_softmax(student, dim=1)).sum() / cells


@at_least_float32
def similarity_distance(student: Maps, teacher: TeacherMaps, pool: int) -> Scalar:
    """Mean squared difference of the cosine similarities of all pairs of regions (CIRKD's variant).

    Regions are max-pooled. The gradient goes through the length of the vectors, which the first authors detach.
    """
    return F.mse_loss(_similarities(student, pool), _similarities(teacher, pool))


def _similarities(features: Maps, pool: int) -> Float[Tensor, "n regions regions"]:
    regions = F.max_pool2d(features, pool, stride=pool, ceil_mode=True).flatten(2)
    direction = F.normalize(regions, dim=1)
    return direction.transpose(1, 2) @ direction
