"""Do without PyTorch's compiler, whose import takes 1.3 s: as long as that of PyTorch itself."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType


@contextmanager
def without_compiler() -> Iterator[None]:
    """What asks for the compiler in this block, and only to leave some function uncompiled, does not import it.

    These are: timm's NaFlexViT and torchvision's operators while they are imported (the latter also for a function,
    which is there when they call it), and torch's dispatch modes, such as its flop counter.
    """
    names = [name for name in ("torch._dynamo", "torch._dynamo.utils") if name not in sys.modules]

    def is_compile_supported(device: str) -> bool:
        return import_module("torch._dynamo.utils").is_compile_supported(device)

    for name in names:
        sys.modules[name] = ModuleType(name)
        vars(sys.modules[name]).update(is_compile_supported=is_compile_supported, disable=lambda part, *_, **__: part)
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]
