"""Which of our files a file runs, read from the source without running it."""

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("models", "pipeline", "stages")


@cache
def direct_imports(file: Path) -> frozenset[Path]:
    """Our files that `file` imports, anywhere in it, packages' `__init__.py` on the way included."""
    found: set[Path] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found |= _module_files(alias.name)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found |= _module_files(node.module)
            for alias in node.names:
                found |= _module_files(f"{node.module}.{alias.name}")
    return frozenset(found - {file})


@cache
def closure(file: Path) -> frozenset[Path]:
    """`file` and everything of ours that it imports, directly or not."""
    seen: set[Path] = set()
    waiting = [file]
    while waiting:
        current = waiting.pop()
        if current not in seen:
            seen.add(current)
            waiting.extend(direct_imports(current))
    return frozenset(seen)


def _module_files(module: str) -> set[Path]:
    parts = module.split(".")
    if parts[0] not in PACKAGES:
        return set()
    packages = {ROOT.joinpath(*parts[:i], "__init__.py") for i in range(1, len(parts) + 1)}
    return {path for path in packages | {ROOT.joinpath(*parts).with_suffix(".py")} if path.is_file()}
