"""Normalized Feature Distillation (NFD), arXiv 2207.05256.

The authors published no code. The normalization is the paper's as a later paper restates it (FastSegFormer); which
features are compared, the reduction and the weight are our choice.
"""

import torch.nn.functional as F

from models.segmenter import SegmentationOutput, Segmenter
from pipeline.distillation.method import Labels, Maps, Method, NoParams, Scalar, align, at_least_float32

EPSILON = 1e-5  # added to the variance: a channel that is constant in an image has none


class NFD(Method):
    """Compare backbone features of which every map has mean 0 and variance 1: patterns, not magnitudes."""

    def __init__(self, params: NoParams, student: Segmenter, teacher: Segmenter, iterations: int):
        super().__init__(params, student, teacher, iterations)
        self.align = align(student.backbone_channels, teacher.backbone_channels)

    def forward(self, student: SegmentationOutput, teacher: SegmentationOutput, labels: Labels) -> Scalar:
        return normalized_distance(self.align(student.backbone_features), teacher.backbone_features)


@at_least_float32
def normalized_distance(student: Maps, teacher: Maps) -> Scalar:
    """Mean squared difference of maps that are standardized over space, each image and channel for itself.

    In 0..4, and but for the epsilon equal to 2 * (1 - mean Pearson correlation of the pairs of maps).
    """
    return F.mse_loss(F.instance_norm(student, eps=EPSILON), F.instance_norm(teacher, eps=EPSILON))
