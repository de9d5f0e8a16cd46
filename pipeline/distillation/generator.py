"""What GDD and MGD share: from the student's features to a rebuilt map of the teacher's."""

from torch import nn


class Generator(nn.Sequential):
    """Two 3x3 convolutions with a ReLU between them; keeps size and channels."""

    def __init__(self, channels: int):
        super().__init__(
            nn.Conv2d(channels, channels, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, kernel_size=3, padding=1),
        )
