"""A student that starts with the teacher's weights where its layers match, after an idea of TinyCLIP (ICCV 2023).

TinyCLIP selects layers and channels by their importance; here their names and shapes must match.
"""

import torch
from torch import nn

from models.segmenter import Segmenter
from pipeline.errors import TrainingError


@torch.no_grad()
def inherit_layers(student: Segmenter, teacher: Segmenter) -> float:
    """Copy the layers of the teacher's backbone whose names and shapes match the student's, block by block.

    A block is copied whole or not at all. For example, the 3x3 convolution of a bottleneck can have the shape of a
    basic block's, but it means something else. So does one that squeeze-and-excitation follows, if the student has
    none. A BatchNorm is copied with the convolution that it follows.

    Returns the share of the student's parameters that were copied, 0..1. Raises TrainingError if no block matches.
    """
    ours, theirs = _layers(student), _layers(teacher)
    alike = {name for name in ours if name in theirs and _shapes(ours[name]) == _shapes(theirs[name])}
    blocks = {_around(name)[-1] for name in ours}  # layer1.0 and layer1.0.downsample; layer1 itself has no layers
    unlike = {block for name in (ours.keys() | theirs.keys()) - alike for block in _around(name)} & blocks
    copied, follows_copied = 0, False
    for name, layer in ours.items():
        matches = unlike.isdisjoint(_around(name))
        if isinstance(layer, nn.Conv2d):
            follows_copied = matches
        if matches and follows_copied:
            layer.load_state_dict(theirs[name].state_dict())
            copied += sum(parameter.numel() for parameter in layer.parameters())
    if not copied:
        raise TrainingError(
            "no block of the student's backbone matches a block of the teacher's in names and shapes "
            "(a ResNet-50 has bottlenecks, not basic blocks). Set inherit_layers to false, or use "
            "another teacher"
        )
    return copied / sum(parameter.numel() for parameter in student.parameters())


def _layers(network: Segmenter) -> dict[str, nn.Module]:
    """Return the layers in the order of their definition: each BatchNorm after its convolution."""
    layers = network.backbone.network.named_modules()
    return {name: part for name, part in layers if isinstance(part, nn.Conv2d | nn.BatchNorm2d)}


def _around(layer: str) -> list[str]:
    """Return the modules that contain a layer, innermost last: layer1, layer1.0; the empty name for the stem."""
    parts = layer.split(".")[:-1]
    return [".".join(parts[:end]) for end in range(1, len(parts) + 1)] or [""]


def _shapes(layer: nn.Module) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in layer.state_dict().items()}
