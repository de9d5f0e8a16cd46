"""Fold the BatchNorms of a frozen network into the convolutions before them."""

import torch
from torch import nn
from torch.fx.experimental.optimization import fuse

from models.segmenter import Segmenter


def fold_batchnorms(segmenter: Segmenter) -> Segmenter:
    """Fold BatchNorms in place, part by part; the outputs stay the same up to rounding.

    The result is for evaluation only. A part whose forward cannot be traced keeps its BatchNorms. A part without
    BatchNorms is not traced.
    """
    segmenter.eval()
    segmenter.backbone.network = folded(segmenter.backbone.network)
    segmenter.head = folded(segmenter.head)  # type: ignore[reportAttributeAccessIssue]: torch.fx makes another class
    return segmenter


def folded(part: nn.Module) -> nn.Module:
    """Return a part, which is in eval mode, with its BatchNorms folded.

    Returns the part itself if it has no BatchNorms or its forward cannot be traced.
    """
    if not any(isinstance(module, nn.BatchNorm2d) for module in part.modules()):
        return part
    try:
        with torch.no_grad():  # as it will run: a forward may check whether gradients are on
            return fuse(part)
    except Exception:  # tracing passes proxies in place of tensors, and a forward may fail on them in any way
        return part
