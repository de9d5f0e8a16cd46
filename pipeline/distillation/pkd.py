"""Pearson-correlation distillation of features (PKD), arXiv 2207.02039 (mmrazor's form)."""

import torch.nn.functional as F

from pipeline.distillation.method import BackboneMethod, CellLabels, Maps, Output, Scalar, at_least_float32

EPSILON = 1e-6  # added to the standard deviation


class PKD(BackboneMethod):
    """Compare backbone features after every channel is standardized over the whole batch.

    PKD is made for networks with equal channels. If they differ, a 1x1 convolution aligns them (our choice).
    """

    def forward(self, student: Output, teacher: Output, labels: CellLabels) -> Scalar:
        return pearson_distance(self.align(student.backbone_features), teacher.backbone_features)


@at_least_float32
def pearson_distance(student: Maps, teacher: Maps) -> Scalar:
    """Return half the mean squared difference of channels that are standardized over images and space."""
    standardized = []
    for maps in (student, teacher):
        deviation, mean = maps.std(dim=(0, 2, 3), keepdim=True), maps.mean(dim=(0, 2, 3), keepdim=True)
        standardized.append((maps - mean) / (deviation + EPSILON))
    return F.mse_loss(*standardized) / 2
