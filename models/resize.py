"""Bilinear resizing and adaptive pooling, as matrix products where PyTorch's own forms will not do."""

from functools import lru_cache

import torch
import torch.fx
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def bilinear(maps: Float[Tensor, "n c h w"], height: int, width: int) -> Float[Tensor, "n c H W"]:
    """Half-pixel centers, edges repeated (align_corners=False), as mmseg.

    On a GPU the gradient of PyTorch's kernel adds up in whatever order its threads arrive. Under
    `torch.use_deterministic_algorithms` this is two matrix products instead.
    """
    if torch.are_deterministic_algorithms_enabled() and torch.is_grad_enabled():
        with torch.autocast(maps.device.type, enabled=False):  # which would multiply float32 maps in 16 bits
            return bilinear_products(maps, height, width)
    return F.interpolate(maps, size=(height, width), mode="bilinear", align_corners=False)


def bilinear_products(maps: Float[Tensor, "n c h w"], height: int, width: int) -> Float[Tensor, "n c H W"]:
    """The same as two matrix products. The second is the large one, so it is that over fewer cells."""
    rows = weights_for(maps, "bilinear", maps.shape[-2], height)
    columns = weights_for(maps, "bilinear", maps.shape[-1], width)
    if maps.shape[-2] <= maps.shape[-1]:
        return rows @ (maps @ columns.T)
    return (rows @ maps) @ columns.T


def bilinear_weights(cells: int, size: int, device: torch.device) -> Float[Tensor, "size cells"]:
    """Row i holds how much of each cell is in place i of the resized line: of its two neighbours, or of the edge."""
    position = ((torch.arange(size, dtype=torch.float64, device=device) + 0.5) * cells / size - 0.5).clamp(0, cells - 1)
    distance = (position[:, None] - torch.arange(cells, dtype=torch.float64, device=device)).abs()
    return (1 - distance).clamp(min=0)


def pool_to_bins(features: Float[Tensor, "n c h w"], bins: int) -> Float[Tensor, "n c b b"]:
    """Adaptive average pooling as two matrix products: PyTorch's own exports as thousands of nodes for uneven bins."""
    rows = weights_for(features, "bins", features.shape[-2], bins)
    columns = weights_for(features, "bins", features.shape[-1], bins)
    return rows @ features @ columns.T


def bin_weights(cells: int, bins: int, device: torch.device) -> Float[Tensor, "bins cells"]:
    """Each row averages the cells from floor(i * cells / bins) up to ceil((i + 1) * cells / bins)."""
    index = torch.arange(bins, device=device)
    start, stop = index * cells // bins, -(-(index + 1) * cells // bins)
    cell = torch.arange(cells, device=device)
    inside = (cell >= start[:, None]) & (cell < stop[:, None])
    return inside.double() / inside.sum(dim=1, keepdim=True)


def weights_for(maps: Tensor, kind: str, cells: int, size: int) -> Float[Tensor, "size cells"]:
    """Return one of WEIGHTS on the maps' device and in their type; built once, since it is needed in every forward."""
    if torch.compiler.is_compiling():  # a compiler or an exporter follows how it is made
        return WEIGHTS[kind](cells, size, maps.device).to(maps)
    return kept_weights(kind, cells, size, maps.device, maps.dtype)


torch.fx.wrap("weights_for")  # in a folded network this stays one call


@lru_cache(maxsize=256)
def kept_weights(kind: str, cells: int, size: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    with torch.inference_mode(False):  # what is made for an evaluation may be needed in a training
        return WEIGHTS[kind](cells, size, device).to(dtype)


WEIGHTS = {"bilinear": bilinear_weights, "bins": bin_weights}
