"""Parts that every head shares: the conv-BN-ReLU block, the classifier, the auxiliary head (mmseg's FCNHead)."""

from torch import Tensor, nn

DROPOUT = 0.1  # of whole channels before the classifier, as in every mmseg head


class ConvBNReLU(nn.Sequential):
    """Conv (no bias), BatchNorm, ReLU; keeps the spatial size."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, dilation: int = 1):
        padding = dilation * (kernel_size // 2)
        conv = nn.Conv2d(in_channels, out_channels, kernel_size, padding=padding, dilation=dilation, bias=False)
        nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
        super().__init__(conv, nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True))


class Classifier(nn.Module):
    """Dropout and the 1x1 convolution to class scores."""

    def __init__(self, in_channels: int, classes: int):
        super().__init__()
        self.dropout = nn.Dropout2d(DROPOUT)
        self.conv = nn.Conv2d(in_channels, classes, kernel_size=1)
        nn.init.normal_(self.conv.weight, std=0.01)
        nn.init.zeros_(self.conv.bias)  # type: ignore[reportArgumentType]

    def forward(self, features: Tensor) -> Tensor:
        return self.conv(self.dropout(features))


class AuxiliaryHead(nn.Module):
    """Class scores from stage 3, for a second loss in training; dropped at export."""

    def __init__(self, in_channels: int, channels: int, classes: int):
        super().__init__()
        self.conv = ConvBNReLU(in_channels, channels, kernel_size=3)
        self.classifier = Classifier(channels, classes)

    def forward(self, stage3: Tensor) -> Tensor:
        return self.classifier(self.conv(stage3))
