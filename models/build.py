"""From a design to a segmenter with fresh weights."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from models.backbone import Backbone
from models.deeplabv3 import AtrousPyramidHead
from models.errors import ModelError
from models.heads import AuxiliaryHead
from models.pruning import first_channels, keep_channels
from models.pspnet import PyramidPoolingHead
from models.segmenter import Segmenter

HEADS = {"pspnet": PyramidPoolingHead, "deeplabv3": AtrousPyramidHead}


Width = Annotated[int, Field(ge=1, le=8192)]


@dataclass(frozen=True, kw_only=True)
class Design:
    """All that is needed to build a segmenter again. It stands in the header of every checkpoint; limits hold there."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    architecture: str
    backbone: str
    input_scale: Annotated[float, Field(gt=0, le=1)]  # the network works on the image resized by this
    output_stride: Literal[8, 16, 32]  # of that image
    head_channels: Width
    auxiliary_channels: Width
    channels: dict[str, Width]  # of a pruned network, by the names of models/pruning.py; empty: none was taken out
    class_names: Annotated[tuple[str, ...], Field(min_length=2, max_length=255)]


def build_segmenter(design: Design, pretrained: bool = False) -> Segmenter:
    """A segmenter with fresh weights, or with timm's ImageNet weights in its backbone.

    Raises:
        ModelError: unknown architecture or backbone, weights that cannot be had, or `channels` of another network.
    """
    if design.architecture not in HEADS:
        raise ModelError(f"no architecture {design.architecture!r}; known are {', '.join(HEADS)}")
    backbone = Backbone(design.backbone, design.output_stride, pretrained)
    classes = len(design.class_names)
    head = HEADS[design.architecture](backbone.channels, design.head_channels, classes)
    auxiliary_head = AuxiliaryHead(backbone.stage3_channels, design.auxiliary_channels, classes)
    segmenter = Segmenter(backbone, head, auxiliary_head, classes, design.input_scale)
    if design.channels:
        keep_channels(segmenter, first_channels(design.channels))
    return segmenter
