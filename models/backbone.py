"""Backbones: networks of timm that return their feature maps. Their weights: read, written, loaded."""

import json
import pkgutil
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

import timm
import torch
from jaxtyping import Float
from pydantic import TypeAdapter
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from models import BACKBONES
from models.errors import ModelError

FORMAT = "segdistill-backbone-1"
FACTS = TypeAdapter(dict[str, str])


class FeatureMap(NamedTuple):
    """What a head must know of a feature map before it sees one."""

    channels: int
    stride: int  # pixels of the network's image for each cell, along a side


class Backbone(nn.Module):
    """A network of timm, in timm's names, that returns its last four feature maps, fine to coarse, as in `maps`."""

    def __init__(self, network: nn.Module, maps: list[FeatureMap]):
        super().__init__()
        self.network = network
        self.maps = maps

    @property
    def channels(self) -> int:
        """Channels of the last map."""
        return self.maps[-1].channels

    def forward(self, image: Float[Tensor, "n 3 H W"]) -> list[Tensor]:
        return self.network(image)


def build_backbone(name: str, output_stride: int, pretrained: bool = False) -> Backbone:
    """Build a backbone whose last map has this stride, with fresh weights or with timm's.

    Raises ModelError if timm does not know it, it cannot be a backbone at this stride, or its weights cannot be had.
    """
    kind = next(kind for pattern, kind in BACKBONES.items() if fnmatchcase(name, pattern))
    backbone = pkgutil.resolve_name(kind)(name, output_stride, pretrained)
    if (stride := backbone.maps[-1].stride) != output_stride:
        raise ModelError(f"{name!r} has output stride {stride}, not {output_stride}; set output_stride: {stride}")
    return backbone


def timm_cnn(name: str, output_stride: int, pretrained: bool, **options: Any) -> Backbone:
    """Build any network of timm with feature maps of several strides; options are its constructor's."""
    if output_stride != 32:  # what is not asked for need not be supported: many networks have stride 32 only
        options["output_stride"] = output_stride
    network = timm_network(name, pretrained, features_only=True, out_indices=(-4, -3, -2, -1), **options)
    info: Any = network.feature_info
    maps = [FeatureMap(*facts) for facts in zip(info.channels(), info.reduction(), strict=True)]
    expected = [(1, channels, 64 // stride, 96 // stride) for channels, stride in maps]
    try:
        with torch.no_grad():
            shapes = [tuple(features.shape) for features in network.eval()(torch.zeros(1, 3, 64, 96))]
    except Exception as error:  # each network fails in its own way
        raise ModelError(f"backbone {name!r} cannot work on images of any size ({error}); {ADVICE}") from error
    if shapes != expected:
        raise ModelError(f"backbone {name!r} returns maps of shapes {shapes}, not {expected}; {ADVICE}")
    return Backbone(network.train(), maps)


ADVICE = "take a ResNet (any output stride), a plain ViT (vit_*), or output_stride: 32 for other convolutional networks"


def timm_network(name: str, pretrained: bool, **options: Any) -> nn.Module:
    """Build a network of timm; ModelError if it is unknown, does not take the options, or its weights cannot be had."""
    if not timm.is_model(name):
        near = ", ".join(timm.list_models(f"*{name.split('.')[0][:8]}*")[:5]) or "resnet18, resnet50, resnet101"
        raise ModelError(f"timm knows no backbone {name!r}; for example: {near}")
    try:
        return timm.create_model(name, pretrained=pretrained, **options)
    except Exception as error:  # timm checks little: each network fails in its own way
        if pretrained and isinstance(error, RuntimeError | OSError):
            raise ModelError(
                f"ImageNet weights of {name!r} could not be downloaded ({error}). Without a network set "
                f"weights.source to `file` (a safetensors file) or `none` (from scratch)"
            ) from error
        asked = f" at output stride {options['output_stride']}" if "output_stride" in options else ""
        raise ModelError(f"{name!r} cannot be a backbone{asked} ({type(error).__name__}: {error}); {ADVICE}") from error


def read_weights(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file, in float32; ModelError if it is none."""
    try:
        return {name: tensor.float() for name, tensor in load_file(path).items()}
    except (OSError, SafetensorError, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"backbone weights {path} cannot be read: {error}") from error


def save_backbone(backbone: Backbone, facts: dict[str, str], path: Path) -> None:
    """Write a backbone in timm's names, with facts (text) in one header entry: equal backbones shall be equal files."""
    tensors = {name: tensor.contiguous() for name, tensor in backbone.network.state_dict().items()}
    save_file(tensors, path, metadata={FORMAT: json.dumps(facts)})


def backbone_facts(path: Path) -> dict[str, str]:
    """What `save_backbone` was told; ModelError if it did not write this file."""
    try:
        with safe_open(path, framework="pt") as file:
            return FACTS.validate_json((file.metadata() or {})[FORMAT])
    except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
        raise ModelError(f"{path} is no backbone in the form {FORMAT} ({error}); run stage pretrain anew") from error


def load_backbone_weights(backbone: Backbone, path: Path) -> None:
    """Fill a backbone from a safetensors file, but for a classifier (`fc.*`) in it; ModelError if it does not fit."""
    weights = read_weights(path)
    # BatchNorm's counters carry no knowledge, and files converted from other frameworks have none.
    state = backbone.network.state_dict().items()
    own = {name: tensor for name, tensor in state if not name.endswith("num_batches_tracked")}
    missing = sorted(own.keys() - weights.keys())
    misshapen = sorted(name for name in own.keys() & weights.keys() if own[name].shape != weights[name].shape)
    if missing or misshapen:
        raise ModelError(
            f"{path} does not fit the backbone: {len(missing)} tensors missing {missing[:3]}, "
            f"{len(misshapen)} of another shape {misshapen[:3]}; is it another network's file?"
        )
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(weights[name])
