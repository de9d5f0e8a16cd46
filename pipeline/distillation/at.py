"""Attention transfer (AT), arXiv 1612.03928."""

import torch.nn.functional as F

from pipeline.distillation.method import CellLabels, Maps, Method, Output, Scalar, TeacherMaps, at_least_float32


class AT(Method):
    """Match the spatial attention (where head features are strong) with the teacher's; channel counts may differ."""

    def forward(self, student: Output, teacher: Output, labels: CellLabels) -> Scalar:
        return attention_distance(student.head_features, teacher.head_features)


@at_least_float32
def attention_distance(student: Maps, teacher: TeacherMaps) -> Scalar:
    """Return the mean squared difference of the two attention maps.

    The maps have unit length, so the value is at most 2/(h*w). So weights are in the thousands, and must grow with the
    number of cells. The authors' 10000 (CIRKD) is for 64 x 128 cells.
    """
    ours, theirs = (F.normalize(maps.square().mean(dim=1).flatten(1), dim=1) for maps in (student, teacher))
    return F.mse_loss(ours, theirs)
