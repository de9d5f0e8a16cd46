"""The generator of GDD and MGD, which rebuilds the teacher's map from the student's features.

A convolution of teacher width takes most of a training step, so this module has faster forms. All are exact:
parameters, loss and every gradient are those of `generator(align(student) * kept + noise)`.
"""

from itertools import product
from typing import Any, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.grad import conv2d_input

from models.segmenter import Segmenter
from pipeline.distillation.method import BackboneMethod

Plane = Float[Tensor, "n 1 h w"]
PADDED_TO = 16  # a composed convolution's input channels are a multiple of what matrix units multiply at once
WIDE = {torch.bfloat16: 2**20, torch.float32: 2**18}  # weights of a tap, from which on oneDNN's gradient is slower


class Generator(nn.Sequential):
    """Two 3x3 convolutions with a ReLU between them; keeps size and channels."""

    def __init__(self, channels: int):
        super().__init__(
            nn.Conv2d(channels, channels, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, kernel_size=3, padding=1),
        )


class GenerativeMethod(BackboneMethod):
    def __init__(self, params: Any, student: Segmenter, teacher: Segmenter, iterations: int):
        super().__init__(params, student, teacher, iterations)
        self.generator = Generator(teacher.backbone_channels)


def rebuild(
    align: nn.Module, generator: Generator, student: Float[Tensor, "n c h w"], kept: Plane, noise: Plane
) -> Float[Tensor, "n b h w"]:
    """Return generator(align(student) * kept + noise), computed in the cheaper way for these shapes."""
    first, _, second = cast(tuple[nn.Conv2d, nn.Module, nn.Conv2d], tuple(generator))
    if isinstance(align, nn.Conv2d) and composing_pays(align, student):
        hidden = _composed(align, first, student, kept, noise)
    else:
        hidden = _convolve(align(student) * kept + noise, first.weight, first.bias)
    return _convolve(hidden.relu_(), second.weight, second.bias)


def composing_pays(align: nn.Conv2d, student: Float[Tensor, "n c h w"]) -> bool:
    """Return whether a composed convolution, including its composition, is cheaper than `align` and a wide one."""
    narrow, wide = align.in_channels, align.out_channels
    cells = student.numel() // narrow
    return 9 * wide * (narrow + 2) * (cells + wide) < cells * wide * (narrow + 9 * wide)


def _composed(
    align: nn.Conv2d, first: nn.Conv2d, student: Tensor, kept: Tensor, noise: Tensor
) -> Float[Tensor, "n b h w"]:
    """Return first(align(student) * kept + noise) as one convolution, because only sums lie between the two.

    The bias of `align` and the noise become separate input planes. So they end at the border of the map, as they do
    before a convolution that pads with zeros, and they are never spread over the teacher's channels.
    """
    dtype = _multiplied_in(student)
    spare = -(align.in_channels + 2) % PADDED_TO
    planes = torch.cat([(student * kept).to(dtype), kept.to(dtype), noise.to(dtype)], dim=1)
    ones = torch.ones_like(align.weight[:, 0])
    matrix = torch.cat([align.weight, align.bias[:, None, None, None], ones[:, None]], dim=1)  # type: ignore[reportOptionalSubscript]
    matrix = F.pad(matrix.flatten(1), (0, spare)).to(dtype)
    taps = first.weight.permute(0, 2, 3, 1).to(dtype)
    weight = (taps.reshape(-1, taps.shape[-1]) @ matrix).view(*taps.shape[:3], -1).permute(0, 3, 1, 2)
    inputs = F.pad(planes, (0, 0, 0, 0, 0, spare)).contiguous(memory_format=torch.channels_last)
    return _convolve(inputs, weight, first.bias)


def _convolve(x: Float[Tensor, "n c h w"], weight: Tensor, bias: Tensor | None) -> Float[Tensor, "n k h w"]:
    dtype = _multiplied_in(x)
    # Converted in the memory order of a channels-last weight: five times as fast on a CPU.
    weight = weight.permute(0, 2, 3, 1).to(dtype).permute(0, 3, 1, 2)
    x, bias = x.to(dtype), None if bias is None else bias.to(dtype)
    if x.device.type == "cpu" and weight.shape[0] * weight.shape[1] >= WIDE.get(dtype, float("inf")):
        return WideConvolution.apply(x, weight, bias)  # type: ignore[reportReturnType]
    return F.conv2d(x, weight, bias, padding=1)


def _multiplied_in(x: Tensor) -> torch.dtype:
    device = x.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype


class WideConvolution(torch.autograd.Function):
    """A 3x3 convolution with padding 1, whose weight gradient is one matrix product for each of its nine taps.

    For 2048 to 2048 channels, oneDNN takes about four times as long for that gradient as for the convolution, in bf16
    and, on a CPU with AVX2 only, in fp32.
    """

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return F.conv2d(x, weight, bias, padding=1)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:  # type: ignore[reportIncompatibleMethodOverride]
        x, weight = ctx.saved_tensors
        of_x, of_weight, of_bias = ctx.needs_input_grad
        return (
            conv2d_input(x.shape, weight, gradient, padding=1) if of_x else None,
            _weight_gradient(x, gradient) if of_weight else None,
            gradient.sum(dim=(0, 2, 3)) if of_bias else None,
        )


def _weight_gradient(x: Float[Tensor, "n c h w"], gradient: Float[Tensor, "n k h w"]) -> Float[Tensor, "k c 3 3"]:
    """Return the gradient channels last, as the weights are: 38 million numbers are slow to copy to another layout."""
    height, width = x.shape[-2:]
    cells = F.pad(x.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))
    rows = gradient.transpose(0, 1).flatten(1)
    result = gradient.new_empty(len(rows), 3, 3, x.shape[1])
    for down, right in product(range(3), repeat=2):
        seen = cells[:, down : down + height, right : right + width].reshape(-1, x.shape[1])
        result[:, down, right] = rows @ seen
    return result.permute(0, 3, 1, 2)
