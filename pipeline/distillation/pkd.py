"""Pearson-correlation distillation of features (PKD), arXiv 2207.02039 (mmrazor's form)."""

import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from models.segmenter import SegmentationOutput
from pipeline.distillation.align import align
from pipeline.distillation.precision import at_least_float32

EPSILON = 1e-6  # added to the standard deviation


class PearsonFeatures(nn.Module):
    """Backbone features compared after every channel was standardized over the whole batch.

    Made for networks of equal channels; where they differ, a 1x1 convolution aligns them (our choice).
    """

    def __init__(self, student_channels: int, teacher_channels: int):
        super().__init__()
        self.align = align(student_channels, teacher_channels)

    def forward(
        self, student: SegmentationOutput, teacher: SegmentationOutput, labels: Int64[Tensor, "n H W"]
    ) -> Float[Tensor, ""]:
        return pearson_distance(self.align(student.backbone_features), teacher.backbone_features)


@at_least_float32
def pearson_distance(student: Float[Tensor, "n c h w"], teacher: Float[Tensor, "n c h w"]) -> Float[Tensor, ""]:
    """Half the mean squared difference of channels that are standardized over images and space."""
    return F.mse_loss(_standardized(student), _standardized(teacher)) / 2


def _standardized(features: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
    deviation, mean = features.std(dim=(0, 2, 3), keepdim=True), features.mean(dim=(0, 2, 3), keepdim=True)
    return (features - mean) / (deviation + EPSILON)
