"""FitNet's hint, arXiv 1412.6550, as a loss term from the first iteration (CIRKD's form)."""

import torch.nn.functional as F

from pipeline.distillation.method import CellLabels, HeadMethod, Maps, Output, Scalar, at_least_float32


class FitNet(HeadMethod):
    """Regress the teacher's head features from the student's through one 1x1 convolution.

    Nothing is normalized, so the weight depends on the scale of the teacher's features.
    """

    def forward(self, student: Output, teacher: Output, labels: CellLabels) -> Scalar:
        return mean_squared_distance(self.align(student.head_features), teacher.head_features)


@at_least_float32
def mean_squared_distance(student: Maps, teacher: Maps) -> Scalar:
    return F.mse_loss(student, teacher)
