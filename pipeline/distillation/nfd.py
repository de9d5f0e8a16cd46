"""Normalized Feature Distillation (NFD), arXiv 2207.05256.

The authors published no code. The normalization is the paper's as a later paper restates it (FastSegFormer); which
features are compared, the reduction and the weight are our choice.
"""

import torch.nn.functional as F

from pipeline.distillation.method import BackboneMethod, CellLabels, Maps, Output, Scalar, at_least_float32

EPSILON = 1e-5  # added to the variance: a channel that is constant in an image has none


class NFD(BackboneMethod):
    """Compare backbone features of which every map has mean 0 and variance 1: patterns, not magnitudes."""

    def forward(self, student: Output, teacher: Output, labels: CellLabels) -> Scalar:
        return normalized_distance(self.align(student.backbone_features), teacher.backbone_features)


@at_least_float32
def normalized_distance(student: Maps, teacher: Maps) -> Scalar:
    """Mean squared difference of maps that are standardized over space, each image and channel for itself.

    In 0..4, and but for the epsilon equal to 2 * (1 - mean Pearson correlation of the pairs of maps).
    """
    return F.mse_loss(F.instance_norm(student, eps=EPSILON), F.instance_norm(teacher, eps=EPSILON))
