"""Adaptive average pooling in a form that exports as two products."""

import torch
from jaxtyping import Float
from torch import Tensor


def pool_to_bins(features: Float[Tensor, "n c h w"], bins: int) -> Float[Tensor, "n c b b"]:
    """Adaptive average pooling as two matrix products.

    `F.adaptive_avg_pool2d` gives the same numbers, but exports as thousands of nodes where bins are uneven, and as a
    silently wrong graph where the input size is dynamic.
    """
    rows = bin_weights(features.shape[-2], bins, features.device).to(features)
    columns = bin_weights(features.shape[-1], bins, features.device).to(features)
    return rows @ features @ columns.T


def bin_weights(cells: int, bins: int, device: torch.device) -> Float[Tensor, "bins cells"]:
    """Each row averages the cells from floor(i * cells / bins) up to ceil((i + 1) * cells / bins)."""
    index = torch.arange(bins, device=device)
    start, stop = index * cells // bins, -(-(index + 1) * cells // bins)
    cell = torch.arange(cells, device=device)
    inside = (cell >= start[:, None]) & (cell < stop[:, None])
    return inside.double() / inside.sum(dim=1, keepdim=True)
