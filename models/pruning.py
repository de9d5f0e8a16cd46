"""Narrower networks: whole channels are taken out, so that what is left is dense and every runtime gains.

Feature maps that must keep the same channels are one `space`: the two sides of an addition (the residual stream of a
stage), or what one convolution writes and others read. A channel is taken out of a space, and so out of every
convolution that writes or reads it and of every BatchNorm on the way.
"""

from collections.abc import Iterator, Mapping
from itertools import accumulate
from math import ceil
from typing import Any, NamedTuple

import torch
from jaxtyping import Int64
from torch import Tensor, nn

from models.errors import ModelError
from models.resnet import plain_blocks
from models.segmenter import Segmenter

MULTIPLE = 16  # channels that kernels compute at a time, in int8 the most
MAPS = ("stem", "layer2", "layer3", "layer4")  # spaces of the backbone's maps; layer1 adds to what leaves the stem


class Layer(NamedTuple):
    """A convolution between spaces."""

    conv: nn.Conv2d
    norm: nn.BatchNorm2d | None  # None after a classifier
    reads: tuple[str, ...]  # spaces, in the order in which their channels are concatenated
    writes: str


def layers_of(segmenter: Segmenter) -> list[Layer]:
    """Every convolution of a network with the spaces that it stands between.

    Raises ModelError for a backbone other than a ResNet of basic blocks, or a head that does not tell its convolutions.
    """
    layers = list(_backbone_layers(segmenter.backbone.network))
    connections: list[Any] = list(segmenter.head.connections(MAPS))
    classifiers = [Layer(segmenter.classifier, None, ("head.fuse",), "classes")]
    if (auxiliary := segmenter.auxiliary_head) is not None:
        connections.append((auxiliary.conv, (MAPS[-2],), "auxiliary_head"))
        classifiers.append(Layer(auxiliary.classifier.conv, None, ("auxiliary_head",), "classes"))
    return [*layers, *(Layer(part[0], part[1], reads, writes) for part, reads, writes in connections), *classifiers]


def widths(segmenter: Segmenter) -> dict[str, int]:
    """Channels of each space that can be narrowed; ModelError as `layers_of`."""
    return {layer.writes: layer.conv.out_channels for layer in layers_of(segmenter) if layer.writes != "classes"}


def narrowed(width: int, keep: float) -> int:
    """`keep` (0..1) of so many channels, rounded up to a multiple of 16; never more than there are."""
    return min(width, MULTIPLE * ceil(keep * width / MULTIPLE))


@torch.no_grad()
def strongest_channels(segmenter: Segmenter, keep: float) -> dict[str, Int64[Tensor, " kept"]]:
    """The channels of each space to keep, in their order; ModelError as `layers_of`.

    The strength of a channel is the sum of the scales |gamma| of all BatchNorms that write it: their outputs' standard
    deviation over the data (Liu et al., Network Slimming, arXiv 1708.06519, who train for small ones).
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


@torch.no_grad()
def keep_channels(segmenter: Segmenter, kept: Mapping[str, Int64[Tensor, " kept"]]) -> None:
    """Take all other channels out, in place; spaces that are not named stay whole.

    Raises ModelError as `layers_of`, and for a space that this network has not.
    """
    before = widths(segmenter)
    if foreign := sorted(kept.keys() - before.keys()):
        raise ModelError(f"the network has no channels called {', '.join(foreign)}; it has {', '.join(before)}")
    before |= {"image": 3, "classes": segmenter.classes}
    chosen = {space: torch.arange(width) for space, width in before.items()} | dict(kept)
    for layer in layers_of(segmenter):
        starts = accumulate((before[space] for space in layer.reads), initial=0)
        read = torch.cat([chosen[space] + start for space, start in zip(layer.reads, starts, strict=False)])
        _slice(layer.conv, layer.norm, chosen[layer.writes], read)
    backbone = segmenter.backbone
    backbone.maps = [m._replace(channels=len(chosen[name])) for m, name in zip(backbone.maps, MAPS, strict=True)]


def _slice(conv: nn.Conv2d, norm: Any, written: Int64[Tensor, " k"], read: Int64[Tensor, " c"]) -> None:
    conv.weight = nn.Parameter(conv.weight[written][:, read].contiguous())
    if conv.bias is not None:
        conv.bias = nn.Parameter(conv.bias[written])
    conv.out_channels, conv.in_channels = len(written), len(read)
    if norm is not None:
        norm.weight, norm.bias = nn.Parameter(norm.weight[written]), nn.Parameter(norm.bias[written])
        norm.running_mean, norm.running_var = norm.running_mean[written], norm.running_var[written]
        norm.num_features = len(written)


def _backbone_layers(network: Any) -> Iterator[Layer]:
    blocks: dict[str, Any] = {**plain_blocks(network)}
    convs = [(f"conv1.{name}", part) for name, part in network.conv1.named_modules() if isinstance(part, nn.Conv2d)]
    norms = [*(part for part in network.conv1.modules() if isinstance(part, nn.BatchNorm2d)), network.bn1]
    stream = "image"
    for (name, conv), norm in zip(convs, norms, strict=True):
        writes = "stem" if norm is network.bn1 else name  # of a deep stem, the last is what leaves it
        yield Layer(conv, norm, (stream,), writes)
        stream = writes
    for name, block in blocks.items():
        yield Layer(block.conv1, block.bn1, (stream,), name)
        entering = stream
        if block.downsample is not None:
            stream = name.partition(".")[0]
            pair: Any = (part for part in block.downsample.children() if isinstance(part, nn.Conv2d | nn.BatchNorm2d))
            yield Layer(*pair, reads=(entering,), writes=stream)
        yield Layer(block.conv2, block.bn2, (name,), stream)
