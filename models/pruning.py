"""Narrower networks: whole channels are taken out, so that what is left is dense and every runtime gains.

Feature maps that must keep the same channels are one `space`: the two sides of an addition (the residual stream of a
stage), or what one convolution writes and others read. A channel is taken out of a space, and so out of every
convolution that writes or reads it and of every BatchNorm on the way.
"""

from collections.abc import Iterator, Mapping
from math import ceil
from typing import NamedTuple

import torch
from jaxtyping import Int64
from torch import Tensor, nn

from models.errors import ModelError
from models.resnet import plain_blocks
from models.segmenter import Segmenter

MULTIPLE = 16  # channels that kernels compute at a time, in int8 the most
MAPS = ("stem", "layer2", "layer3", "layer4")  # spaces of the backbone's maps; layer1 adds to what leaves the stem
FIXED = frozenset({"image", "classes"})  # colors and classes: what goes in and comes out


class Layer(NamedTuple):
    """A convolution between spaces."""

    conv: nn.Conv2d
    norm: nn.BatchNorm2d | None  # None after a classifier
    reads: tuple[str, ...]  # spaces, in the order in which their channels are concatenated
    writes: str


def layers_of(segmenter: Segmenter) -> list[Layer]:
    """Every convolution of a network with the spaces that it stands between.

    Raises:
        ModelError: the backbone is no ResNet of plain basic blocks, or the head says nothing of its convolutions.
    """
    layers = list(_backbone_layers(segmenter.backbone.network))
    layers += [_conv_norm(*connection) for connection in segmenter.head.connections(MAPS)]
    layers.append(Layer(segmenter.classifier, None, ("head.fuse",), "classes"))
    if segmenter.auxiliary_head is not None:
        layers.append(_conv_norm(segmenter.auxiliary_head.conv, (MAPS[-2],), "auxiliary_head"))
        layers.append(Layer(segmenter.auxiliary_head.classifier.conv, None, ("auxiliary_head",), "classes"))
    return layers


def widths(segmenter: Segmenter) -> dict[str, int]:
    """Channels of each space that can be narrowed.

    Raises:
        ModelError: as `layers_of`.
    """
    return {layer.writes: layer.conv.out_channels for layer in layers_of(segmenter) if layer.writes not in FIXED}


def narrowed(width: int, keep: float) -> int:
    """`keep` (0..1) of so many channels, rounded up to a multiple of 16; never more than there are."""
    return min(width, MULTIPLE * ceil(keep * width / MULTIPLE))


@torch.no_grad()
def strongest_channels(segmenter: Segmenter, keep: float) -> dict[str, Int64[Tensor, " kept"]]:
    """The channels of each space to keep, in their order.

    The strength of a channel is the sum of the scales |gamma| of all BatchNorms that write it: their outputs' standard
    deviation over the data (Liu et al., Network Slimming, arXiv 1708.06519, who train for small ones).

    Raises:
        ModelError: as `layers_of`.
    """
    strength: dict[str, Tensor] = {}
    for layer in layers_of(segmenter):
        if layer.norm is not None:
            scale = layer.norm.weight.abs()
            strength[layer.writes] = strength.get(layer.writes, torch.zeros_like(scale)) + scale
    return {
        space: scale.argsort(descending=True, stable=True)[: narrowed(len(scale), keep)].sort().values
        for space, scale in strength.items()
    }


def first_channels(channels: Mapping[str, int]) -> dict[str, Int64[Tensor, " kept"]]:
    """So many of each space, for a network whose weights are loaded afterwards."""
    return {space: torch.arange(count) for space, count in channels.items()}


@torch.no_grad()
def keep_channels(segmenter: Segmenter, kept: Mapping[str, Int64[Tensor, " kept"]]) -> None:
    """Take all other channels out, in place; spaces that are not named stay whole.

    Raises:
        ModelError: as `layers_of`; or a space that this network has not.
    """
    before = widths(segmenter)
    if foreign := sorted(kept.keys() - before.keys()):
        raise ModelError(f"the network has no channels called {', '.join(foreign)}; it has {', '.join(before)}")
    whole = {space: torch.arange(width) for space, width in before.items()}
    whole |= {"image": torch.arange(3), "classes": torch.arange(segmenter.classes)}
    chosen = {**whole, **kept}
    for layer in layers_of(segmenter):
        starts = torch.tensor([0, *(len(whole[space]) for space in layer.reads)]).cumsum(0).tolist()
        read = torch.cat([chosen[space] + start for space, start in zip(layer.reads, starts, strict=False)])
        _slice_conv(layer.conv, chosen[layer.writes], read)
        if layer.norm is not None:
            _slice_norm(layer.norm, chosen[layer.writes])
    backbone = segmenter.backbone
    backbone.maps = [m._replace(channels=len(chosen[name])) for m, name in zip(backbone.maps, MAPS, strict=True)]


def _slice_conv(conv: nn.Conv2d, written: Int64[Tensor, " k"], read: Int64[Tensor, " c"]) -> None:
    conv.weight = nn.Parameter(conv.weight[written][:, read].contiguous())
    if conv.bias is not None:
        conv.bias = nn.Parameter(conv.bias[written])
    conv.out_channels, conv.in_channels = len(written), len(read)


def _slice_norm(norm: nn.BatchNorm2d, kept: Int64[Tensor, " k"]) -> None:
    norm.weight, norm.bias = nn.Parameter(norm.weight[kept]), nn.Parameter(norm.bias[kept])
    assert norm.running_mean is not None  # every BatchNorm here has statistics
    assert norm.running_var is not None
    norm.running_mean, norm.running_var = norm.running_mean[kept], norm.running_var[kept]
    norm.num_features = len(kept)


def _backbone_layers(network: nn.Module) -> Iterator[Layer]:
    blocks = plain_blocks(network)
    stem = network.get_submodule("conv1")
    norms = [*(part for part in stem.modules() if isinstance(part, nn.BatchNorm2d)), network.get_submodule("bn1")]
    convs = [(name, part) for name, part in stem.named_modules() if isinstance(part, nn.Conv2d)]
    names = [*(f"conv1.{name}" for name, _ in convs[:-1]), "stem"]  # of a deep stem, the last is what leaves it
    stream = "image"
    for (_, conv), norm, name in zip(convs, norms, names, strict=True):
        yield _layer(conv, norm, (stream,), name)
        stream = name
    for name, block in blocks.items():
        yield _layer(block.conv1, block.bn1, (stream,), name)
        entering = stream
        if block.downsample is not None:
            stream = name.partition(".")[0]
            conv = next(part for part in block.downsample.children() if isinstance(part, nn.Conv2d))
            norm = next(part for part in block.downsample.children() if isinstance(part, nn.BatchNorm2d))
            yield _layer(conv, norm, (entering,), stream)
        yield _layer(block.conv2, block.bn2, (name,), stream)


def _conv_norm(part: nn.Module, reads: tuple[str, ...], writes: str) -> Layer:
    return _layer(part.get_submodule("0"), part.get_submodule("1"), reads, writes)


def _layer(conv: nn.Module, norm: nn.Module, reads: tuple[str, ...], writes: str) -> Layer:
    assert isinstance(conv, nn.Conv2d)
    assert isinstance(norm, nn.BatchNorm2d)
    return Layer(conv, norm, reads, writes)
