"""Comparisons of maps need more digits than autocast leaves them."""

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

P = ParamSpec("P")
R = TypeVar("R")


def at_least_float32(compare: Callable[P, R]) -> Callable[P, R]:
    """Run `compare` outside autocast with its floating tensors as float32; float64 stays what it is.

    The convolutions of a method may run in half precision, its softmaxes, logarithms and norms may not.
    """

    @functools.wraps(compare)
    def widened(*args: P.args, **kwargs: P.kwargs) -> R:
        device = next(value.device.type for value in args if isinstance(value, Tensor))
        with torch.autocast(device, enabled=False):
            return compare(*map(_widen, args), **kwargs)  # type: ignore[reportCallIssue]

    return widened


def _widen(value: Any) -> Any:
    if isinstance(value, Tensor) and value.is_floating_point():
        return value.to(torch.promote_types(value.dtype, torch.float32))
    return value
