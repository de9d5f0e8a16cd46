"""Training on with the rounding of int8 in the forward pass, for a student that calibration alone leaves over budget.

The straight-through estimator (Bengio et al., arXiv 1308.3432) passes gradients through the rounding, as in Jacob et
al. (arXiv 1712.05877). BatchNorms are folded first, so what is trained are the very weights that will be quantized.
The loss is the run's own, its distillation included.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils import parametrize

from models.export_wrappers import LARGEST_GREY
from models.folding import fold_batchnorms
from models.segmenter import Segmenter

LEVELS = 255  # steps of uint8 activations
LARGEST = 127  # of symmetric int8 weights
SMALLEST_RANGE = 1e-12  # of a channel or map that is never anything but 0


@contextmanager
def rounding(segmenter: Segmenter, images: Sequence[np.ndarray]) -> Iterator[None]:
    """Meanwhile every convolution sees its input in 256 levels, and its weights in 255 for each output channel.

    The ranges of the inputs are those of the images, uint8 (1, H, W, 3). The segmenter stays folded and without its
    auxiliary head; afterwards it is on the CPU and in eval mode.
    """
    segmenter.auxiliary_head = None
    convolutions = [part for part in fold_batchnorms(segmenter).modules() if isinstance(part, nn.Conv2d)]
    for conv in convolutions:
        conv.register_buffer("low", torch.zeros(()))  # 0 must be a level: it is what padding is
        conv.register_buffer("high", torch.zeros(()))
    with ExitStack() as hooks, torch.no_grad():
        for conv in convolutions:
            hooks.enter_context(conv.register_forward_pre_hook(_widen_range))
        for image in images:
            segmenter(torch.from_numpy(image).permute(0, 3, 1, 2).float() / LARGEST_GREY)
    with ExitStack() as hooks:
        for conv in convolutions:
            hooks.enter_context(conv.register_forward_pre_hook(_round_input))
            parametrize.register_parametrization(conv, "weight", RoundedWeight())
            hooks.callback(parametrize.remove_parametrizations, conv, "weight", leave_parametrized=False)
        yield
    for conv in convolutions:
        del conv.low, conv.high
    segmenter.cpu().eval()


class RoundedWeight(nn.Module):
    def forward(self, weight: Float[Tensor, "k c h w"]) -> Float[Tensor, "k c h w"]:
        return round_weight(weight)


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


def _widen_range(conv: Any, inputs: tuple[Tensor, ...]) -> None:
    conv.low.copy_(torch.minimum(conv.low, inputs[0].min()))
    conv.high.copy_(torch.maximum(conv.high, inputs[0].max()))


def _round_input(conv: Any, inputs: tuple[Tensor, ...]) -> Tensor:
    return round_input(inputs[0], conv.low, conv.high)
