"""Backbones: networks that return feature maps, and files with their weights."""

import json
import pkgutil
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from jaxtyping import Float
from pydantic import TypeAdapter
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from models import BACKBONES
from models.errors import ModelError
from models.resize import bilinear

FORMAT = "segdistill-backbone-1"
FACTS = TypeAdapter(dict[str, str])
ADVICE = (
    "use a ResNet (any output_stride), a plain ViT (vit_*, deit*, eva*; output_stride is its patch size), or another "
    "network for images of any size (MobileNet, ConvNeXt, PVTv2, ...; output_stride: 32)"
)


class FeatureMap(NamedTuple):
    """Channels and stride of a feature map: all that a head needs when it is built."""

    channels: int
    stride: int  # pixels of the network's image per cell, along a side


class Backbone(nn.Module):
    """A timm network that returns its last four feature maps, from fine to coarse. Its tensors keep timm's names.

    Args:
        maps: channels and stride of each of the four maps.
        multiple: pixels; an image whose sides are not multiples of it is resized up to the next multiples.
    """

    def __init__(self, network: nn.Module, maps: list[FeatureMap], multiple: int = 1):
        super().__init__()
        self.network = network
        self.maps = maps
        self.multiple = multiple

    @property
    def channels(self) -> int:
        """Return the number of channels of the last map."""
        return self.maps[-1].channels

    def forward(self, image: Float[Tensor, "n 3 H W"]) -> list[Tensor]:
        height, width = (side + -side % self.multiple for side in image.shape[-2:])
        if (height, width) != image.shape[-2:]:
            image = bilinear(image, height, width)  # resized, not padded: every cell stays where it is in the image
        return self.feature_maps(image)

    def feature_maps(self, image: Float[Tensor, "n 3 H W"]) -> list[Tensor]:
        """Return the maps of an image whose sides are multiples of `multiple`."""
        return self.network(image)


def build_backbone(name: str, output_stride: int, pretrained: bool = False) -> Backbone:
    """Build a backbone whose last map has this output stride, with fresh weights or with timm's.

    Raises ModelError if timm does not have it, it cannot be a backbone at this stride, or its weights cannot be loaded.
    """
    kind = next(kind for pattern, kind in BACKBONES.items() if fnmatchcase(name, pattern))
    backbone = pkgutil.resolve_name(kind)(name, output_stride, pretrained)
    if (stride := backbone.maps[-1].stride) != output_stride:
        raise ModelError(
            f"{name!r} has output stride {stride}, not {output_stride}; set output_stride: {stride}, or {ADVICE}"
        )
    return backbone


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return all tensors of a safetensors file in float32; raises ModelError if it is another kind of file."""
    try:
        return {name: tensor.float() for name, tensor in load_file(path).items()}
    except (OSError, SafetensorError, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"{path} cannot be read as a safetensors file ({error}). Convert a .pth or .bin file as "
            f"docs/reference/networks.md shows, and use the new file with its sha256"
        ) from error


def save_backbone(backbone: Backbone, facts: dict[str, str], path: Path) -> None:
    """Write a backbone's tensors under timm's names, with the facts (text) in one header entry.

    The header has one entry because safetensors writes several in random order. So equal backbones give equal files.
    """
    tensors = {name: tensor.contiguous() for name, tensor in backbone.network.state_dict().items()}
    save_file(tensors, path, metadata={FORMAT: json.dumps(facts)})


def backbone_facts(path: Path) -> dict[str, str]:
    """Return the facts that `save_backbone` wrote; raises ModelError if it did not write this file."""
    try:
        with safe_open(path, framework="pt") as file:
            return FACTS.validate_json((file.metadata() or {})[FORMAT])
    except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
        raise ModelError(
            f"{path} is not a backbone in the format {FORMAT} ({error}); run stage pretrain again"
        ) from error
