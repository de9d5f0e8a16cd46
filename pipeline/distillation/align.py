"""From the student's channels to the teacher's."""

from torch import nn


def align(student_channels: int, teacher_channels: int) -> nn.Module:
    """A 1x1 convolution from the student's channels to the teacher's; nothing where they are equal already."""
    if student_channels == teacher_channels:
        return nn.Identity()
    return nn.Conv2d(student_channels, teacher_channels, kernel_size=1)
