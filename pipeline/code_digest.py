"""Digest of the code that a stage, a training or a trial runs: the files that its modules import, without comments.

The imports are read from the source, in functions too, and nothing is executed. Three kinds of file are left out:
packages' `__init__.py` (they hold docstrings and registries, and the user of an entry names its module), modules that
only load parameters or print messages, and modules that the caller names as idle.
"""

import ast
import hashlib
import io
import tokenize
from collections.abc import Collection, Iterable
from functools import cache
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("models", "pipeline", "segdistill_runtime", "stages")
ALWAYS_OUT = frozenset(
    {"models.errors", "pipeline.errors", "pipeline.cli", "pipeline.stage_table"}
    | {f"pipeline.params.{module}" for module in ("tree", "sections", "dataset", "training", "deployment")}
)
"""These modules change no result: they print messages, or declare and check parameters, whose values are tracked."""


def closure(modules: Iterable[str], idle: Collection[str] = ()) -> frozenset[Path]:
    """Return the files of `modules` and of all modules of ours that they import, directly or indirectly.

    A module may name further files in a constant `RESOURCES`, as paths relative to its folder; a folder stands for all
    files in it. They belong to the closure too.

    Args:
        modules: dotted names, or `module:Object` as in registries.
        idle: modules that are imported but not used here; modules that only they import are left out.
    """
    out = {file for module in (*ALWAYS_OUT, *idle) for file in _files(module)}
    seen: set[Path] = set()
    waiting = [file for module in modules for file in _files(module.split(":")[0])]
    while waiting:
        file = waiting.pop()
        if file in seen or file in out:
            continue
        seen.add(file)
        waiting.extend(direct_imports(file))
        seen |= _resources(file)
    return frozenset(seen)


def digest(files: Iterable[Path]) -> str:
    """Return a short hash of names and contents, without comments, docstrings and blank lines of Python files."""
    lines = (f"{file.relative_to(ROOT).as_posix()} {_content_hash(file)}\n" for file in sorted(files))
    return hashlib.sha256("".join(lines).encode()).hexdigest()[:16]


@cache
def direct_imports(file: Path) -> frozenset[Path]:
    """Return the files of ours that `file` imports, in functions too, without packages' `__init__.py`."""
    names: list[str] = []
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return frozenset(found for name in names for found in _files(name)) - {file}


def without_comments(source: str) -> str:
    """Return Python source without comments, docstrings, blank lines and spaces at the ends of lines.

    It works on the text, not on a syntax tree that is printed again, because this differs between versions of Python.
    """
    tokens = [token for token in tokenize.generate_tokens(io.StringIO(source).readline) if token.type != tokenize.NL]
    removed = []
    starts_line = True
    for token, following in pairwise(tokens):
        if token.type == tokenize.COMMENT:
            removed.append(token)
            continue
        if token.type == tokenize.STRING and starts_line and following.type in (tokenize.NEWLINE, tokenize.COMMENT):
            removed.append(token)  # a string that is a whole statement
        starts_line = token.type in (tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
    lines = source.splitlines(keepends=True)
    for token in reversed(removed):
        (row, column), (last_row, last_column) = token.start, token.end
        lines[row - 1 : last_row] = [lines[row - 1][:column] + lines[last_row - 1][last_column:]]
    return "\n".join(line.rstrip() for line in "".join(lines).splitlines() if line.strip())


@cache
def _content_hash(file: Path) -> str:
    content = file.read_bytes()
    if file.suffix == ".py":
        content = without_comments(content.decode()).encode()
    return hashlib.sha256(content).hexdigest()


@cache
def _resources(file: Path) -> set[Path]:
    found: set[Path] = set()
    for node in ast.parse(file.read_bytes()).body:
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["RESOURCES"]:
            for name in ast.literal_eval(node.value):
                place = (file.parent / name).resolve()
                inside = place.rglob("*") if place.is_dir() else [place]
                found |= {path for path in inside if path.is_file() and "__pycache__" not in path.parts}
    return found


def _files(module: str) -> set[Path]:
    parts = module.split(".")
    path = ROOT.joinpath(*parts).with_suffix(".py")
    return {path} if parts[0] in PACKAGES and path.is_file() else set()
