"""Training on with the rounding of int8 in the forward pass, for a student that calibration alone leaves over budget.

The straight-through estimator (Bengio et al., arXiv 1308.3432) passes gradients through the rounding, as in Jacob et
al. (arXiv 1712.05877). BatchNorms are folded first, so what is trained are the very weights that will be quantized.
The loss is the run's own, its distillation included.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Self, TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from models.export_wrappers import LARGEST_GREY
from models.folding import fold_batchnorms
from models.segmenter import Segmenter

Conv = TypeVar("Conv", bound=nn.Conv2d)
LEVELS = 255  # steps of uint8 activations
LARGEST = 127  # of symmetric int8 weights
SMALLEST_RANGE = 1e-12  # of a channel or map that is never anything but 0


class RoundedConv(nn.Conv2d):
    """A convolution that sees its input in 256 levels and its weights in 255 for each output channel.

    The range of its input is taken while it watches, and fixed afterwards.
    """

    low: Tensor
    high: Tensor
    watches: bool

    @classmethod
    def of(cls, conv: nn.Conv2d) -> Self:
        rounded = _with_weights_of(conv, cls)
        rounded.register_buffer("low", torch.zeros(()))  # 0 must be a level: it is what padding is
        rounded.register_buffer("high", torch.zeros(()))
        rounded.watches = False
        return rounded

    def plain(self) -> nn.Conv2d:
        """The convolution without the rounding."""
        return _with_weights_of(self, nn.Conv2d)

    def forward(self, input: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k u v"]:
        if self.watches:
            self.low.copy_(torch.minimum(self.low, input.min()))
            self.high.copy_(torch.maximum(self.high, input.max()))
            return super().forward(input)
        return self._conv_forward(round_input(input, self.low, self.high), round_weight(self.weight), self.bias)


def round_input(x: Tensor, low: Float[Tensor, ""], high: Float[Tensor, ""]) -> Tensor:
    """To the nearest of 256 evenly spaced values from low to high, one of which is 0; outside, the nearer end."""
    scale = (high - low).clamp(min=SMALLEST_RANGE) / LEVELS
    zero_point = (-low / scale).round().clamp(0, LEVELS).to(torch.int32)
    return torch.fake_quantize_per_tensor_affine(x, scale, zero_point, 0, LEVELS)


def round_weight(weight: Float[Tensor, "k c h w"]) -> Float[Tensor, "k c h w"]:
    """Each output channel to the nearest of 255 evenly spaced values around 0."""
    largest = weight.detach().abs().amax(dim=(1, 2, 3)).clamp(min=SMALLEST_RANGE)
    zero_points = torch.zeros(len(weight), dtype=torch.int32, device=weight.device)
    return torch.fake_quantize_per_channel_affine(weight, largest / LARGEST, zero_points, 0, -LARGEST, LARGEST)


def rounded_for_training(segmenter: Segmenter, images: Sequence[np.ndarray]) -> Segmenter:
    """The segmenter, folded, with every convolution rounding; changed in place and without its auxiliary head.

    Args:
        images: calibration images for the ranges, each uint8 (1, H, W, 3).
    """
    segmenter.auxiliary_head = None
    fold_batchnorms(segmenter)
    _replace(segmenter, nn.Conv2d, RoundedConv.of)
    with _watching(segmenter), torch.no_grad():
        for image in images:
            segmenter(torch.from_numpy(image).permute(0, 3, 1, 2).float() / LARGEST_GREY)
    return segmenter


def without_rounding(segmenter: Segmenter) -> Segmenter:
    """The segmenter with plain convolutions again, in place."""
    _replace(segmenter, RoundedConv, RoundedConv.plain)
    return segmenter.cpu().eval()


@contextmanager
def _watching(segmenter: Segmenter) -> Iterator[None]:
    convolutions = [part for part in segmenter.modules() if isinstance(part, RoundedConv)]
    for convolution in convolutions:
        convolution.watches = True
    try:
        yield
    finally:
        for convolution in convolutions:
            convolution.watches = False


def _replace(module: nn.Module, kind: type[Conv], make: Callable[[Conv], nn.Conv2d]) -> None:
    for name, child in module.named_children():
        if isinstance(child, kind):
            setattr(module, name, make(child))
        else:
            _replace(child, kind, make)


def _with_weights_of(conv: nn.Conv2d, kind: type[Conv]) -> Conv:
    other = kind(
        conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding,  # type: ignore[reportArgumentType]
        conv.dilation, conv.groups, conv.bias is not None, conv.padding_mode,  # type: ignore[reportArgumentType]
    )  # fmt: skip
    other.weight, other.bias = conv.weight, conv.bias
    return other
