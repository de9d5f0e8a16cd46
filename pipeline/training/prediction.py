"""Predict with a network during its training, without changing the training."""

import numpy as np
import torch
from jaxtyping import UInt8

from models.resize import bilinear
from models.segmenter import Segmenter
from pipeline.data.dataset import network_input


@torch.no_grad()
def predicted_labels(segmenter: Segmenter, image: UInt8[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "H W"]:
    """Return train ids for a whole image of any size; draw no random number and change no running statistic."""
    device = next(segmenter.parameters()).device
    modes = [(module, module.training) for module in segmenter.modules()]
    segmenter.eval()
    pixels = network_input(torch.from_numpy(image).permute(2, 0, 1)[None].to(device))
    logits = bilinear(segmenter(pixels).logits, *image.shape[:2])
    for module, training in modes:
        module.training = training
    return logits.argmax(dim=1)[0].to(torch.uint8).cpu().numpy()
