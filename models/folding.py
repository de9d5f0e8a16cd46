"""A frozen network without its BatchNorms: their scale and shift in the convolutions before them."""

import torch
from torch import nn
from torch.fx.experimental.optimization import fuse

from models.segmenter import Segmenter


def fold_batchnorms(segmenter: Segmenter) -> Segmenter:
    """Fold in place, part by part, for evaluation only; the outputs stay the same up to rounding.

    A part whose forward cannot be traced keeps its BatchNorms; a part without BatchNorms is not traced.
    """
    segmenter.eval()
    segmenter.backbone.network = folded(segmenter.backbone.network)
    segmenter.head = folded(segmenter.head)  # type: ignore[reportAttributeAccessIssue]: torch.fx makes another class
    return segmenter


def folded(part: nn.Module) -> nn.Module:
    """A part in eval mode without BatchNorms; itself where it has none or its forward cannot be traced."""
    if not any(isinstance(module, nn.BatchNorm2d) for module in part.modules()):
        return part
    try:
        with torch.no_grad():  # as it will run: the forward may ask
            return fuse(part)
    except Exception:  # tracing runs a forward on what are no tensors: whatever it does with them may fail
        return part
