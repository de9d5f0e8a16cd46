"""Build networks whose tensors have shapes, but no memory and no values."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode


@contextmanager
def without_memory() -> Iterator[None]:
    """Build networks on the meta device, and draw no random values for them."""
    with torch.device("meta"), _WithoutValues():
        yield


class _WithoutValues(TorchFunctionMode):
    """Skips drawing normal numbers: on the meta device PyTorch uses its compiler for it, whose import takes 1.3 s."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func.__name__.endswith("normal_"):  # methods of tensors, and functions of torch.nn.init
            return args[0] if args else None
        return func(*args, **(kwargs or {}))
