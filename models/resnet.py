"""ResNets: mmseg's ResNet-18-V1c as a backbone, and the basic blocks that pruning can narrow."""

from torch import nn

from models.backbone import Backbone
from models.errors import ModelError
from models.timm_backbone import timm, timm_cnn

BasicBlock = timm.models.resnet.BasicBlock


def resnet18_v1c(name: str, output_stride: int, pretrained: bool) -> Backbone:
    """Build mmseg's ResNet-18-V1c, the usual student backbone: a deep 32-32-64 stem and undilated second convs."""
    if pretrained:
        raise ModelError(
            f"timm has no ImageNet weights for {name!r}; use backbone resnet18 (7x7 stem) with weights from timm, "
            f"or set weights.source to `file` (a safetensors file)"
        )
    backbone = timm_cnn("resnet18", output_stride, False, stem_type="deep", stem_width=32)
    undilate_second_convs(backbone.network)
    return backbone


def resnet18_v1b(name: str, output_stride: int, pretrained: bool) -> Backbone:
    """Build mmseg's ResNet-18b: torchvision's 7x7 stem, undilated second convs, and torchvision's ImageNet weights."""
    backbone = timm_cnn("resnet18.tv_in1k", output_stride, pretrained)
    undilate_second_convs(backbone.network)
    return backbone


def undilate_second_convs(network: nn.Module) -> nn.Module:
    """Dilate only the first convolution of a basic block, as mmseg does; timm dilates both. Parameters are the same."""
    for block in network.modules():
        if isinstance(block, BasicBlock):
            block.conv2.dilation, block.conv2.padding = (1, 1), (1, 1)
    return network


def plain_blocks(network: nn.Module) -> dict[str, BasicBlock]:
    """Return the basic blocks of a ResNet by name.

    Raises ModelError if it has other blocks (bottlenecks, attention, blurred pooling).
    """
    stages = {name: part for name, part in network.named_children() if name.startswith("layer")}
    blocks = {f"{stage}.{name}": block for stage, part in stages.items() for name, block in part.named_children()}
    if not blocks or not all(
        isinstance(block, BasicBlock) and block.se is None and isinstance(block.aa, nn.Identity)
        for block in blocks.values()
    ):
        raise ModelError("only ResNets of plain basic blocks can be pruned; use resnet18, resnet34, resnet18_v1c, ...")
    return blocks  # type: ignore[reportReturnType]
