"""Resize bilinearly and pool adaptively, with matrix products where PyTorch's own operators are unsuitable."""

from functools import lru_cache

import torch
import torch.fx
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def bilinear(maps: Float[Tensor, "n c h w"], height: int, width: int) -> Float[Tensor, "n c H W"]:
    """Resize bilinearly with half-pixel centers and repeated edges (align_corners=False), as mmseg does.

    On a GPU, PyTorch's kernel sums the gradient in the order in which its threads arrive, which differs between runs.
    Under `torch.use_deterministic_algorithms` this function uses two matrix products instead.
    """
    if torch.are_deterministic_algorithms_enabled() and torch.is_grad_enabled():
        with torch.autocast(maps.device.type, enabled=False):  # autocast would multiply float32 maps in 16 bits
            return bilinear_products(maps, height, width)
    return F.interpolate(maps, size=(height, width), mode="bilinear", align_corners=False)


def bilinear_products(maps: Float[Tensor, "n c h w"], height: int, width: int) -> Float[Tensor, "n c H W"]:
    """Resize as `bilinear` does, with two matrix products.

    The second product is the larger one, so it sums along the side with fewer cells.
    """
    rows = weights_for(maps, "bilinear", maps.shape[-2], height)
    columns = weights_for(maps, "bilinear", maps.shape[-1], width)
    if maps.shape[-2] <= maps.shape[-1]:
        return rows @ (maps @ columns.T)
    return (rows @ maps) @ columns.T


def bilinear_weights(cells: int, size: int, device: torch.device) -> Float[Tensor, "size cells"]:
    """Return the weights that resize a line: row i holds the weight of each cell in place i of the resized line.

    Only the two neighbours of a place have weights above 0, or the edge cell alone.
    """
    position = ((torch.arange(size, dtype=torch.float64, device=device) + 0.5) * cells / size - 0.5).clamp(0, cells - 1)
    distance = (position[:, None] - torch.arange(cells, dtype=torch.float64, device=device)).abs()
    return (1 - distance).clamp(min=0)


def pool_to_bins(features: Float[Tensor, "n c h w"], bins: int) -> Float[Tensor, "n c b b"]:
    """Pool by adaptive averages, with two matrix products.

    PyTorch's own operator exports as thousands of nodes if the bins are uneven.
    """
    rows = weights_for(features, "bins", features.shape[-2], bins)
    columns = weights_for(features, "bins", features.shape[-1], bins)
    return rows @ features @ columns.T


def bin_weights(cells: int, bins: int, device: torch.device) -> Float[Tensor, "bins cells"]:
    """Return weights whose row i averages the cells from floor(i * cells / bins) to ceil((i + 1) * cells / bins)."""
    index = torch.arange(bins, device=device)
    start, stop = index * cells // bins, -(-(index + 1) * cells // bins)
    cell = torch.arange(cells, device=device)
    inside = (cell >= start[:, None]) & (cell < stop[:, None])
    return inside.double() / inside.sum(dim=1, keepdim=True)


def weights_for(maps: Tensor, kind: str, cells: int, size: int) -> Float[Tensor, "size cells"]:
    """Return one of WEIGHTS on the maps' device and in their type; kept, because every forward needs it."""
    if torch.compiler.is_compiling():  # a compiler or an exporter must trace how it is computed
        return WEIGHTS[kind](cells, size, maps.device).to(maps)
    return kept_weights(kind, cells, size, maps.device, maps.dtype)


torch.fx.wrap("weights_for")  # torch.fx does not trace into it: in a folded network it stays one call


@lru_cache(maxsize=256)
def kept_weights(kind: str, cells: int, size: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    with torch.inference_mode(False):  # weights built in an evaluation may be used in a training later
        return WEIGHTS[kind](cells, size, device).to(dtype)


WEIGHTS = {"bilinear": bilinear_weights, "bins": bin_weights}
