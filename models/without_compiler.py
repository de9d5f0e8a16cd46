"""Avoid the import of PyTorch's compiler, which takes 1.3 s: as long as that of PyTorch itself."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType


class NotImported:
    """Stands for a class of the compiler; nothing is an instance of it."""


@contextmanager
def without_compiler() -> Iterator[None]:
    """Replace the compiler by a stub in this block, for code that imports it only to leave a function uncompiled.

    Such code is timm's NaFlexViT and torchvision's operators, while they are imported, and torch's dispatch modes, such
    as its flop counter. torchvision also imports `is_compile_supported`; the stub imports the real one when it is
    called. Lightning Fabric imports `OptimizedModule`, to unwrap it; we compile modules in place and have none.
    """
    names = [name for name in ("torch._dynamo", "torch._dynamo.utils") if name not in sys.modules]

    def is_compile_supported(device: str) -> bool:
        return import_module("torch._dynamo.utils").is_compile_supported(device)

    for name in names:
        sys.modules[name] = ModuleType(name)
        vars(sys.modules[name]).update(
            is_compile_supported=is_compile_supported, disable=lambda part, *_, **__: part, OptimizedModule=NotImported
        )
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]
