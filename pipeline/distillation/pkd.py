"""Pearson-correlation distillation of features (PKD), arXiv 2207.02039 (mmrazor's form)."""

import torch.nn.functional as F

from models.segmenter import SegmentationOutput, Segmenter
from pipeline.distillation.method import Labels, Maps, Method, NoParams, Scalar, align, at_least_float32

EPSILON = 1e-6  # added to the standard deviation


class PKD(Method):
    """Compare backbone features of which every channel is standardized over the whole batch.

    Made for networks of equal channels; where they differ, a 1x1 convolution aligns them (our choice).
    """

    def __init__(self, params: NoParams, student: Segmenter, teacher: Segmenter, iterations: int):
        super().__init__(params, student, teacher, iterations)
        self.align = align(student.backbone_channels, teacher.backbone_channels)

    def forward(self, student: SegmentationOutput, teacher: SegmentationOutput, labels: Labels) -> Scalar:
        return pearson_distance(self.align(student.backbone_features), teacher.backbone_features)


@at_least_float32
def pearson_distance(student: Maps, teacher: Maps) -> Scalar:
    """Half the mean squared difference of channels that are standardized over images and space."""
    return F.mse_loss(_standardized(student), _standardized(teacher)) / 2


def _standardized(features: Maps) -> Maps:
    deviation, mean = features.std(dim=(0, 2, 3), keepdim=True), features.mean(dim=(0, 2, 3), keepdim=True)
    return (features - mean) / (deviation + EPSILON)
