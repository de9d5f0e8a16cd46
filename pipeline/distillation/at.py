"""Attention transfer (AT), arXiv 1612.03928."""

import torch.nn.functional as F

from pipeline.distillation.method import CellLabels, Maps, Method, Output, Scalar, TeacherMaps, at_least_float32


class AT(Method):
    """Where the head's features are strong, the student's have to be strong too; channels may differ in number."""

    def forward(self, student: Output, teacher: Output, labels: CellLabels) -> Scalar:
        return attention_distance(student.head_features, teacher.head_features)


@at_least_float32
def attention_distance(student: Maps, teacher: TeacherMaps) -> Scalar:
    """Mean squared difference of the two attention maps.

    The maps are of unit length, so the value is at most 2/(h*w): hence weights of thousands, which must grow with the
    number of cells. The authors' 10000 (CIRKD) is for 64 x 128.
    """
    ours, theirs = (F.normalize(maps.square().mean(dim=1).flatten(1), dim=1) for maps in (student, teacher))
    return F.mse_loss(ours, theirs)
