"""Normalized Feature Distillation (NFD), arXiv 2207.05256.

The authors published no code. The normalization follows the paper, as a later paper (FastSegFormer) restates it. The
compared features, the reduction and the weight are our choice.
"""

import torch.nn.functional as F

from pipeline.distillation.method import BackboneMethod, CellLabels, Maps, Output, Scalar, at_least_float32

EPSILON = 1e-5  # added to the variance, which is 0 for a channel that is constant in an image


class NFD(BackboneMethod):
    """Compare backbone features after every map is scaled to mean 0 and variance 1: patterns, not magnitudes."""

    def forward(self, student: Output, teacher: Output, labels: CellLabels) -> Scalar:
        return normalized_distance(self.align(student.backbone_features), teacher.backbone_features)


@at_least_float32
def normalized_distance(student: Maps, teacher: Maps) -> Scalar:
    """Return the mean squared difference of maps that are standardized over space, for each image and channel.

    It is in 0..4. Except for the epsilon, it equals 2 * (1 - mean Pearson correlation of the pairs of maps).
    """
    return F.mse_loss(F.instance_norm(student, eps=EPSILON), F.instance_norm(teacher, eps=EPSILON))
