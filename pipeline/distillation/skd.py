"""Structured Knowledge Distillation (SKD), arXiv 1903.04197: its pixel-wise and its pair-wise term."""

import torch.nn.functional as F

from pipeline.distillation.method import CellLabels, Logits, Maps, Method, Output, Scalar, TeacherMaps, at_least_float32
from pipeline.params.sections import Count, section


class SKDPixel(Method):
    """Cross-entropy with the teacher's class distribution as the label."""

    def forward(self, student: Output, teacher: Output, labels: CellLabels) -> Scalar:
        # Gradients are averaged over the shares, so without this factor the loss would not grow with the whole batch.
        return self.shares * soft_cross_entropy(student.logits, teacher.logits)


class SKDPair(Method):
    """Match the similarity of each pair of regions with the teacher's; channel counts may differ."""

    @section
    class Params:
        pool: Count = 2  # cells; side of a region; CIRKD's value (the first authors compare four regions)

    params: Params

    def forward(self, student: Output, teacher: Output, labels: CellLabels) -> Scalar:
        return similarity_distance(student.head_features, teacher.head_features, self.params.pool)


@at_least_float32
def soft_cross_entropy(student: Logits, teacher: Logits) -> Scalar:
    """Return the cross-entropy summed over the batch and divided by the cells of one image, as the authors do.

    It grows with the batch.
    """
    cells = student.shape[-2] * student.shape[-1]
    return -(F.softmax(teacher, dim=1) * F.log_softmax(student, dim=1)).sum() / cells


@at_least_float32
def similarity_distance(student: Maps, teacher: TeacherMaps, pool: int) -> Scalar:
    """Return the mean squared difference of the cosine similarities of all pairs of regions (CIRKD's variant).

    Regions are max-pooled. The gradient includes the length of the vectors, which the first authors detach.
    """
    regions = (F.max_pool2d(maps, pool, stride=pool, ceil_mode=True).flatten(2) for maps in (student, teacher))
    directions = (F.normalize(region, dim=1) for region in regions)
    ours, theirs = (direction.transpose(1, 2) @ direction for direction in directions)
    return F.mse_loss(ours, theirs)
