"""Build a segmenter with fresh weights from its design."""

import pkgutil
from dataclasses import dataclass, field
from typing import Annotated, Literal

import torch
from pydantic import ConfigDict, Field, JsonValue, TypeAdapter, ValidationError

from models import HEADS
from models.backbone import build_backbone
from models.errors import ModelError
from models.heads import AuxiliaryHead
from models.segmenter import Segmenter

Width = Annotated[int, Field(ge=1, le=8192)]


@dataclass(frozen=True, kw_only=True)
class Design:
    """All that is needed to rebuild a segmenter. Every checkpoint holds it in its header; reading checks the limits."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    architecture: str  # a key of HEADS
    backbone: str
    input_scale: Annotated[float, Field(gt=0, le=1)] = 1.0  # factor by which the network resizes the image
    output_stride: Literal[8, 14, 16, 32]  # pixels of the resized image per cell of the last map, along a side
    head_channels: Width
    auxiliary_channels: Width
    head: dict[str, JsonValue] = field(default_factory=dict)  # the head's own parameters that differ from its defaults
    channels: dict[str, Width] = field(default_factory=dict)  # of each space of a pruned network (models/pruning.py)
    class_names: Annotated[tuple[str, ...], Field(min_length=2, max_length=255)]


def build_segmenter(design: Design, pretrained: bool = False) -> Segmenter:
    """Build a segmenter with fresh weights, or with timm's ImageNet weights in its backbone.

    Raises ModelError if the architecture or the backbone is unknown, or if the two do not fit together. Also raises it
    if the head does not have a parameter, the weights cannot be loaded, or `channels` are those of another network.
    """
    if design.architecture not in HEADS:
        raise ModelError(f"architecture {design.architecture!r} is unknown; use one of {', '.join(HEADS)}")
    head_class = pkgutil.resolve_name(HEADS[design.architecture])
    try:
        own = TypeAdapter(head_class.Params).validate_python(design.head)
    except ValidationError as error:
        raise ModelError(f"head {design.architecture}: {error}") from error
    backbone = build_backbone(design.backbone, design.output_stride, pretrained)
    classes = len(design.class_names)
    head = head_class(backbone.maps, design.head_channels, classes, **vars(own))
    auxiliary_head = AuxiliaryHead(backbone.maps[-2].channels, design.auxiliary_channels, classes)
    segmenter = Segmenter(backbone, head, auxiliary_head, classes, design.input_scale)
    if design.channels:
        from models.pruning import keep_channels  # imports timm

        keep_channels(segmenter, {space: torch.arange(width) for space, width in design.channels.items()})
    return segmenter
