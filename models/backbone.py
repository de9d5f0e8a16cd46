"""A timm feature extractor at a chosen output stride; timm is imported nowhere else."""

import json
from pathlib import Path
from typing import Any

import timm
import torch
from pydantic import TypeAdapter
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from timm.models.resnet import BasicBlock
from torch import Tensor, nn

from models.errors import ModelError

RESNET18_V1C = "resnet18_v1c"
"""mmseg's ResNet-18-V1c (methods of the field use it as the student): deep 32-32-64 stem, undilated second convs."""


FORMAT = "segdistill-backbone-1"
FACTS = TypeAdapter(dict[str, str])


class Backbone(nn.Module):
    """The last two stages of a timm network: (stage 3, stage 4), both at the output stride where it is 8 or 16."""

    def __init__(self, name: str, output_stride: int, pretrained: bool = False):
        super().__init__()
        self.network = _features(name, output_stride, pretrained)
        info = self.network.feature_info
        self.stage3_channels, self.channels = info.channels()[-2:]  # type: ignore[reportCallIssue, reportIndexIssue]
        if info.reduction()[-1] != output_stride:  # type: ignore[reportCallIssue, reportIndexIssue]
            raise ModelError(
                f"backbone {name!r} has output stride {info.reduction()[-1]}, not {output_stride}; "  # type: ignore[reportCallIssue]
                f"choose another output_stride or a backbone that can be dilated (every ResNet can)"
            )

    @property
    def dtype(self) -> torch.dtype:
        return next(self.parameters()).dtype

    @property
    def first_convolution(self) -> nn.Conv2d:
        """The one that sees the image."""
        return next(part for part in self.network.modules() if isinstance(part, nn.Conv2d))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        stage3, stage4 = self.network(image)
        return stage3, stage4


def _features(name: str, output_stride: int, pretrained: bool) -> nn.Module:
    if name == RESNET18_V1C:
        if pretrained:
            raise ModelError(
                f"timm holds no ImageNet weights for {name!r}; take backbone resnet18 (7x7 stem) with weights from "
                f"timm, or give a safetensors file"
            )
        return undilate_second_convs(_create("resnet18", output_stride, False, stem_type="deep", stem_width=32))
    return _create(name, output_stride, pretrained)


def _create(name: str, output_stride: int, pretrained: bool, **options: Any) -> nn.Module:
    if not timm.is_model(name):
        near = ", ".join(timm.list_models(f"*{name.split('.')[0][:8]}*")[:5]) or "resnet18, resnet50, resnet101"
        raise ModelError(f"timm knows no backbone {name!r}; for example: {near}")
    try:
        return timm.create_model(
            name,
            pretrained=pretrained,
            features_only=True,
            output_stride=output_stride,
            out_indices=(-2, -1),
            **options,
        )
    except (RuntimeError, OSError) as error:
        if not pretrained:
            raise ModelError(f"timm cannot build {name!r} at output stride {output_stride}: {error}") from error
        raise ModelError(
            f"ImageNet weights of {name!r} could not be downloaded ({error}). Without a network set "
            f"weights.source to `file` (a safetensors file) or `none` (from scratch)"
        ) from error


def undilate_second_convs(network: nn.Module) -> nn.Module:
    """Dilate only the first convolution of a basic block, as mmseg does; timm dilates both, with equal parameters."""
    for block in network.modules():
        if isinstance(block, BasicBlock):
            block.conv2.dilation, block.conv2.padding = (1, 1), (1, 1)
    return network


def plain_blocks(network: nn.Module) -> dict[str, BasicBlock]:
    """The basic blocks of a ResNet, each under its name.

    Raises:
        ModelError: another network, or blocks with more to them (attention, blurred pooling).
    """
    stages = {name: part for name, part in network.named_children() if name.startswith("layer")}
    blocks = {f"{stage}.{name}": block for stage, part in stages.items() for name, block in part.named_children()}
    plain = {
        name: block
        for name, block in blocks.items()
        if isinstance(block, BasicBlock) and block.se is None and isinstance(block.aa, nn.Identity)
    }
    if not plain or len(plain) < len(blocks):
        raise ModelError("only ResNets of plain basic blocks can be pruned: resnet18, resnet34, resnet18_v1c, ...")
    return plain


def read_weights(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file, in float32.

    Raises:
        ModelError: not a safetensors file.
    """
    try:
        return {name: tensor.float() for name, tensor in load_file(path).items()}
    except (OSError, SafetensorError, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"backbone weights {path} cannot be read: {error}") from error


def save_backbone(backbone: Backbone, facts: dict[str, str], path: Path) -> None:
    """Write a backbone in timm's names, with facts (text) in one header entry: equal backbones shall be equal files."""
    tensors = {name: tensor.contiguous() for name, tensor in backbone.network.state_dict().items()}
    save_file(tensors, path, metadata={FORMAT: json.dumps(facts)})


def backbone_facts(path: Path) -> dict[str, str]:
    """What `save_backbone` was told.

    Raises:
        ModelError: another file.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return FACTS.validate_json((file.metadata() or {})[FORMAT])
    except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
        raise ModelError(f"{path} is no backbone in the form {FORMAT} ({error}); run stage pretrain anew") from error


def load_backbone_weights(backbone: Backbone, path: Path) -> None:
    """Fill a backbone from a local safetensors file; a classifier (`fc.*`) in the file is left out.

    Raises:
        ModelError: not a safetensors file, or its tensors do not fit this backbone.
    """
    weights = read_weights(path)
    own = backbone.network.state_dict()
    # BatchNorm's counters carry no knowledge, and files converted from other frameworks have none.
    own = {name: tensor for name, tensor in own.items() if not name.endswith("num_batches_tracked")}
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
