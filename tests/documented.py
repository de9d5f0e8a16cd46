"""The commands of README.md and the pages of docs/, block by block."""

import re
import shlex
from pathlib import Path
from typing import NamedTuple

from pipeline.code_digest import ROOT

FOR_USERS = ("tutorials", "guides", "reference", "explanation")
PAGES = [
    *(page for page in sorted(ROOT.glob("*.md")) if page.name != "CHANGELOG.md"),
    *(page for folder in FOR_USERS for page in sorted((ROOT / "docs" / folder).glob("*.md"))),
    ROOT / "docs/index.md",
    ROOT / "docs/troubleshooting.md",
    *sorted((ROOT / "benchmarks").glob("*.md")),
]
"""What tells a reader which commands to type; results, the log and the changelog name those of earlier versions."""
RUNNABLE = "<!-- runnable -->"
"""Stands in the line before a block that a test runs, in the project's folder, after those above it on its page."""
BLOCK = re.compile(rf"^({RUNNABLE}\n)?```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"`([^`\n]+)`")
PROGRAMS = ("make", "dvc", "python -m pipeline")


class Block(NamedTuple):
    page: Path
    text: str
    runnable: bool


def blocks(page: Path) -> list[Block]:
    found = BLOCK.finditer(page.read_text(encoding="utf-8"))
    return [Block(page, match[3], bool(match[1])) for match in found if match[2] in ("", "sh")]


def commands(page: Path) -> list[list[str]]:
    """Return the words of each command of PROGRAMS in a page's blocks and between backquotes in its text.

    What stands in brackets may be left out by the reader; here it is taken.
    """
    inline = INLINE.findall(BLOCK.sub("", page.read_text(encoding="utf-8")))
    lines = [line for block in blocks(page) for line in block.text.splitlines()]
    parts = (part for line in [*lines, *inline] for part in re.split(r"&&|;", line))
    plain = (
        re.sub(r"\[([^]]*)\]|^\s*(?:\w+=\S*\s+)*", r"\1", part).replace("python3 -m", "python -m") for part in parts
    )
    words = [shlex.split(part, comments=True) for part in plain if part.startswith(tuple(f"{p} " for p in PROGRAMS))]
    return [[word for word in command if word != "..."] for command in words]
