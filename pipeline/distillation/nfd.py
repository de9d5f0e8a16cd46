"""Normalized Feature Distillation (NFD), arXiv 2207.05256.

The authors published no code. The normalization is the paper's as a later paper restates it (FastSegFormer); which
features are compared, the reduction and the weight are our choice.
"""

import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from models.segmenter import SegmentationOutput
from pipeline.distillation.align import align
from pipeline.distillation.precision import at_least_float32

EPSILON = 1e-5  # added to the variance: a channel that is constant in an image has none


class NormalizedFeatures(nn.Module):
    """Backbone features compared after every map was brought to mean 0 and variance 1: patterns, not magnitudes."""

    def __init__(self, student_channels: int, teacher_channels: int):
        super().__init__()
        self.align = align(student_channels, teacher_channels)

    def forward(
        self, student: SegmentationOutput, teacher: SegmentationOutput, labels: Int64[Tensor, "n H W"]
    ) -> Float[Tensor, ""]:
        return normalized_distance(self.align(student.backbone_features), teacher.backbone_features)


@at_least_float32
def normalized_distance(student: Float[Tensor, "n c h w"], teacher: Float[Tensor, "n c h w"]) -> Float[Tensor, ""]:
    """Mean squared difference of maps that are standardized over space, each image and channel for itself.

    In 0..4, and but for the epsilon equal to 2 * (1 - mean Pearson correlation of the pairs of maps).
    """
    return F.mse_loss(F.instance_norm(student, eps=EPSILON), F.instance_norm(teacher, eps=EPSILON))
