"""Which of our files a file runs, read from the source without running it; and a hash of them."""

import ast
import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
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
def closure(file: Path, beyond: frozenset[Path] = frozenset()) -> frozenset[Path]:
    """`file` and everything of ours that it imports, directly or not; files in `beyond` are not followed."""
    seen: set[Path] = set()
    waiting = [file]
    while waiting:
        current = waiting.pop()
        if current not in seen and current not in beyond:
            seen.add(current)
            waiting.extend(direct_imports(current))
    return frozenset(seen)


def digest(files: Iterable[str]) -> str:
    """Short hash of files given relative to the project; a missing file counts as an empty one."""
    joined = hashlib.sha256()
    for name in sorted(files):
        path = ROOT / name
        joined.update(f"{name} {hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ''}\n".encode())
    return joined.hexdigest()[:16]


def _module_files(module: str) -> set[Path]:
    parts = module.split(".")
    if parts[0] not in PACKAGES:
        return set()
    packages = {ROOT.joinpath(*parts[:i], "__init__.py") for i in range(1, len(parts) + 1)}
    return {path for path in packages | {ROOT.joinpath(*parts).with_suffix(".py")} if path.is_file()}
