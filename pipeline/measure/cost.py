"""Count the parameters and the multiply-accumulates of a network."""

import torch
from torch.utils.flop_counter import FlopCounterMode

from models.export_wrappers import LabelsGraph
from models.segmenter import Segmenter
from models.without_compiler import without_compiler


def deployed_parameters(segmenter: Segmenter) -> int:
    """Return the number of weights in the released graph, without the auxiliary head."""
    return sum(p.numel() for name, p in segmenter.named_parameters() if not name.startswith("auxiliary_head."))


def multiply_accumulates(segmenter: Segmenter, height: int, width: int) -> int:
    """Return the multiply-accumulates of one image of this size, by PyTorch's flop counter (padded taps included)."""
    graph = LabelsGraph(segmenter)
    with without_compiler(), torch.inference_mode(), FlopCounterMode(display=False) as counter:
        graph(torch.zeros(1, height, width, 3, dtype=torch.uint8))
    return counter.get_total_flops() // 2
