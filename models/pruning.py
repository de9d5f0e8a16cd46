"""Prune networks: remove whole channels, so that all tensors stay dense and every runtime is faster.

Feature maps that must keep the same channels form one `space`. A space is the two sides of an addition (the residual
stream of a stage), or the output of one convolution, which others read. Removing a channel from a space removes it from
every convolution that writes or reads the space, and from every BatchNorm between them.
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

MULTIPLE = 16  # channels that int8 kernels compute at once; other kernels compute fewer
MAPS = ("stem", "layer2", "layer3", "layer4")  # spaces of the backbone's maps; layer1 adds to the stem's output


class Layer(NamedTuple):
    """A convolution, its BatchNorm, and the spaces that it reads and writes."""

    conv: nn.Conv2d
    norm: nn.BatchNorm2d | None  # None after a classifier
    reads: tuple[str, ...]  # spaces, in the order in which their channels are concatenated
    writes: str


def layers_of(segmenter: Segmenter) -> list[Layer]:
    """Return every convolution of a network with the spaces that it reads and writes.

    Raises ModelError for a backbone other than a ResNet of basic blocks, or a head that does not list its convolutions.
    """
    layers = list(_backbone_layers(segmenter.backbone.network))
    connections: list[Any] = list(segmenter.head.connections(MAPS))
    classifiers = [Layer(segmenter.classifier, None, ("head.fuse",), "classes")]
    if (auxiliary := segmenter.auxiliary_head) is not None:
        connections.append((auxiliary.conv, (MAPS[-2],), "auxiliary_head"))
        classifiers.append(Layer(auxiliary.classifier.conv, None, ("auxiliary_head",), "classes"))
    return [*layers, *(Layer(part[0], part[1], reads, writes) for part, reads, writes in connections), *classifiers]


def widths(segmenter: Segmenter) -> dict[str, int]:
    """Return the number of channels of each space that can be pruned; raises ModelError as `layers_of` does."""
    return {layer.writes: layer.conv.out_channels for layer in layers_of(segmenter) if layer.writes != "classes"}


def narrowed(width: int, keep: float) -> int:
    """Return `keep` (0..1) times `width` channels, rounded up to a multiple of 16, at most `width`."""
    return min(width, MULTIPLE * ceil(keep * width / MULTIPLE))


@torch.no_grad()
def strongest_channels(segmenter: Segmenter, keep: float) -> dict[str, Int64[Tensor, " kept"]]:
    """Return the channels of each space to keep, in their original order; raises ModelError as `layers_of` does.

    The strength of a channel is the sum of the scales |gamma| of all BatchNorms that write it. The scale of a BatchNorm
    is the standard deviation of its output over the data. The measure is that of Network Slimming (Liu et al.,
    arXiv 1708.06519), which also trains for small scales.
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
    """Remove all channels that are not in `kept`, in place; spaces that `kept` does not name keep all channels.

    Raises ModelError as `layers_of` does, and for a space that this network does not have.
    """
    before = widths(segmenter)
    if foreign := sorted(kept.keys() - before.keys()):
        raise ModelError(f"the network has no spaces called {', '.join(foreign)}; its spaces are {', '.join(before)}")
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
        writes = "stem" if norm is network.bn1 else name  # a deep stem has several; the last writes its output
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
