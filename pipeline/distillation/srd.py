"""Semantic representational distillation (SRD), arXiv 2205.06701, on the cells of a segmentation.

The authors classify images: their classifier takes the mean over space. Here the classifier is the 1x1 convolution of
the teacher's head, applied to every cell. This is our adaptation.
"""

from collections.abc import Callable
from typing import Any

import torch.nn.functional as F

from models.heads import ConvBNReLU
from models.segmenter import Segmenter
from pipeline.distillation.fitnet import mean_squared_distance
from pipeline.distillation.method import CellLabels, Logits, Maps, Method, Output, Scalar, TeacherMaps, at_least_float32
from pipeline.params.sections import NonNegative, section


class SRD(Method):
    """Match the teacher's logits with those of its own frozen classifier on the student's head features.

    `connect` brings the features to the teacher's channels. Their means over space must match the teacher's too. Both
    logits are computed without dropout.
    """

    @section
    class Params:
        means_weight: NonNegative = 1.0  # weight of the means' term, the logits' being 1; authors: 1, ShuffleNets: 10

    params: Params

    def __init__(self, params: Params, student: Segmenter, teacher: Segmenter, iterations: int):
        super().__init__(params, student, teacher, iterations)
        self.connect = ConvBNReLU(student.head_channels, teacher.head_channels, kernel_size=1)
        self.classifier: Callable[[], Any] = lambda: teacher.classifier  # not registered: it is the teacher's layer

    def forward(self, student: Output, teacher: Output, labels: CellLabels) -> Scalar:
        means, logits = self.terms(student.head_features, teacher.head_features, teacher.logits)
        return self.params.means_weight * means + logits

    def terms(self, student: Maps, teacher: TeacherMaps, logits: Logits) -> tuple[Scalar, Scalar]:
        """Return the terms of the channels' means and of the logits; `logits` are the teacher's."""
        connected = self.connect(student)
        found = self.classifier()(connected)
        return channel_means_distance(connected, teacher), mean_squared_distance(found, logits)


@at_least_float32
def channel_means_distance(student: Maps, teacher: Maps) -> Scalar:
    """Return the squared difference between the means over space, averaged over images and channels."""
    return F.mse_loss(student.mean(dim=(2, 3)), teacher.mean(dim=(2, 3)))
