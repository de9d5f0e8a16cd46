"""Backbones: networks of timm that return their feature maps. Their weights: read, written, loaded."""

import json
import pkgutil
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple, cast

import timm
import torch
from jaxtyping import Float
from pydantic import TypeAdapter
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from models import BACKBONES
from models.errors import ModelError
from models.resize import bilinear
from segdistill_runtime.errors import lacks_memory

FORMAT = "segdistill-backbone-1"
FACTS = TypeAdapter(dict[str, str])


class FeatureMap(NamedTuple):
    """What a head must know of a feature map before it sees one."""

    channels: int
    stride: int  # pixels of the network's image for each cell, along a side


class Backbone(nn.Module):
    """A network of timm, in timm's names, that returns its last four feature maps, fine to coarse, as in `maps`.

    Args:
        multiple: pixels; an image whose sides are no multiples of it is resized to the next ones.
    """

    def __init__(self, network: nn.Module, maps: list[FeatureMap], multiple: int = 1):
        super().__init__()
        self.network = network
        self.maps = maps
        self.multiple = multiple

    @property
    def channels(self) -> int:
        """Channels of the last map."""
        return self.maps[-1].channels

    def forward(self, image: Float[Tensor, "n 3 H W"]) -> list[Tensor]:
        height, width = (side + -side % self.multiple for side in image.shape[-2:])
        if (height, width) != image.shape[-2:]:
            image = bilinear(image, height, width)  # resized, not padded: every cell stays where it is in the image
        return self.feature_maps(image)

    def feature_maps(self, image: Float[Tensor, "n 3 H W"]) -> list[Tensor]:
        """The maps of an image whose sides are multiples of `multiple`."""
        return self.network(image)


def build_backbone(name: str, output_stride: int, pretrained: bool = False) -> Backbone:
    """Build a backbone whose last map has this stride, with fresh weights or with timm's.

    Raises ModelError if timm does not know it, it cannot be a backbone at this stride, or its weights cannot be had.
    """
    kind = next(kind for pattern, kind in BACKBONES.items() if fnmatchcase(name, pattern))
    backbone = pkgutil.resolve_name(kind)(name, output_stride, pretrained)
    if (stride := backbone.maps[-1].stride) != output_stride:
        raise ModelError(
            f"{name!r} has output stride {stride}, not {output_stride}; set output_stride: {stride}, or {ADVICE}"
        )
    return backbone


def timm_cnn(name: str, output_stride: int, pretrained: bool, **options: Any) -> Backbone:
    """Build any network of timm with feature maps of several strides; options are its constructor's."""
    options |= {"features_only": True, "out_indices": (-4, -3, -2, -1)}
    asked = {} if output_stride == 32 else {"output_stride": output_stride}  # many networks have stride 32 only
    try:
        network = timm_network(name, pretrained, **options, **asked)
    except ModelError as error:
        if not asked or not isinstance(error.__cause__, TypeError):
            raise
        network = timm_network(name, pretrained, **options)  # which has no such option, but one stride
    info: Any = network.feature_info
    maps = [FeatureMap(*facts) for facts in zip(info.channels(), info.reduction(), strict=True)]
    expected = [(1, channels, 64 // stride, 96 // stride) for channels, stride in maps]
    failure = None
    for multiple in (1, maps[-1].stride):  # HRNet adds up maps, whose sizes differ for other images than these
        backbone = Backbone(network.eval(), maps, multiple)
        try:
            with torch.no_grad():
                shapes = [tuple(features.shape) for features in backbone(torch.zeros(1, 3, 64, 96))]
                backbone(torch.zeros(1, 3, *ANY_SIZE))
        except Exception as error:  # each network fails in its own way
            if lacks_memory(error):
                raise
            failure = error
            continue
        if shapes != expected:
            raise ModelError(f"backbone {name!r} returns maps of shapes {shapes}, not {expected}; {ADVICE}")
        return backbone.train()
    raise ModelError(f"backbone {name!r} cannot work on images of any size; {ADVICE}") from failure


ANY_SIZE = (39, 553)  # pixels: no multiples of anything, and longer than what most networks are made for
ADVICE = (
    "take a ResNet (any output_stride), a plain ViT (vit_*, deit*, eva*; output_stride is its patch size), or another "
    "network for images of any size (MobileNet, ConvNeXt, PVTv2, ...; output_stride: 32)"
)


def timm_network(name: str, pretrained: bool, **options: Any) -> nn.Module:
    """Build a network of timm; ModelError if it is unknown, does not take the options, or its weights cannot be had."""
    if not timm.is_model(name):
        near = ", ".join(timm.list_models(f"*{name.split('.')[0][:8]}*")[:5]) or "resnet18, resnet50, resnet101"
        raise ModelError(f"timm knows no backbone {name!r}; for example: {near}")
    try:
        return timm.create_model(name, pretrained=pretrained, **options)
    except Exception as error:  # timm checks little: each network fails in its own way
        if lacks_memory(error):
            raise
        if pretrained and isinstance(error, RuntimeError | OSError):
            raise ModelError(
                f"ImageNet weights of {name!r} could not be downloaded ({error}). Without a network set "
                f"weights.source to `file` (a safetensors file) or `none` (from scratch)"
            ) from error
        asked = f" at output stride {options['output_stride']}" if "output_stride" in options else ""
        raise ModelError(f"{name!r} gives no four feature maps{asked}, so it is no backbone; {ADVICE}") from error


def read_weights(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file, in float32; ModelError if it is none."""
    try:
        return {name: tensor.float() for name, tensor in load_file(path).items()}
    except (OSError, SafetensorError, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"{path} cannot be read: only safetensors files are ({error}). Convert a .pth or .bin file as "
            f"docs/networks.md shows, and give the new file with its sha256"
        ) from error


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
    """Fill a backbone from a safetensors file in timm's names; ModelError if it is another network's.

    It may hold what timm's own network has beyond the maps: a last norm, a classifier of any number of classes.
    """
    weights, network = read_weights(path), cast("Any", backbone.network)  # any network of timm
    with torch.device("meta"):
        whole: Any = timm.create_model(network.pretrained_cfg["architecture"])
    names = {_plain(name): name for name in (*network.state_dict(), *whole.state_dict(), *weights)}
    given, own, known = (
        {_plain(name): tensor for name, tensor in state.items()}
        for state in (weights, network.state_dict(), whole.state_dict() | network.state_dict())
    )
    # BatchNorm's counters carry no knowledge, and files converted from other frameworks have none.
    needed = {name for name in own if not name.endswith("num_batches_tracked")}
    heads = whole.pretrained_cfg.get("classifier") or ()
    classifier = tuple(f"{_plain(head)}_" for head in ([heads] if isinstance(heads, str) else heads))
    compared = {name for name in given if name in own or not name.startswith(classifier)}
    found = {
        "missing": needed - given.keys(),
        "of another shape": {name for name in compared & known.keys() if given[name].shape != known[name].shape},
        "that it does not have": compared - known.keys(),
    }
    if any(found.values()):
        counts = (
            f"{len(wrong)} tensors {what} ({', '.join(sorted(names[name] for name in wrong)[:3])})"
            for what, wrong in found.items() if wrong
        )  # fmt: skip
        raise ModelError(f"{path} does not fit the backbone: {', '.join(counts)}; is it another network's file?")
    with torch.no_grad():
        for name in needed:
            own[name].copy_(given[name])


def _plain(name: str) -> str:
    """The name of a tensor without what timm's feature extractors change in it: stages.0.x, stages_0.x, model.x."""
    return name.removeprefix("model.").replace(".", "_")
