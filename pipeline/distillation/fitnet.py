"""FitNet's hint, arXiv 1412.6550, as a loss term from the first iteration (CIRKD's form)."""

import torch.nn.functional as F
from torch import nn

from models.segmenter import SegmentationOutput, Segmenter
from pipeline.distillation.method import Labels, Maps, Method, NoParams, Scalar, at_least_float32


class FitNet(Method):
    """Regress the teacher's head features from the student's through one 1x1 convolution.

    Nothing is normalized: the weight depends on the scale of the teacher's features.
    """

    def __init__(self, params: NoParams, student: Segmenter, teacher: Segmenter, iterations: int):
        super().__init__(params, student, teacher, iterations)
        self.align = nn.Conv2d(student.head_channels, teacher.head_channels, kernel_size=1, bias=False)

    def forward(self, student: SegmentationOutput, teacher: SegmentationOutput, labels: Labels) -> Scalar:
        return mean_squared_distance(self.align(student.head_features), teacher.head_features)


@at_least_float32
def mean_squared_distance(student: Maps, teacher: Maps) -> Scalar:
    """Mean over all elements."""
    return F.mse_loss(student, teacher)
