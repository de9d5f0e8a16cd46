"""README.md and docs/ show commands that exist; tests/test_newcomer.py runs those that are marked as runnable."""

import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from dvc.cli import DvcParserError
from dvc.cli.parser import get_main_parser

from pipeline.__main__ import COMMANDS, parser_of
from pipeline.code_digest import ROOT
from tests.documented import PAGES, blocks, commands

MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))


def check(words: Sequence[str]) -> None:
    """Raise ValueError for a command, target, option or value that there is not."""
    program, *rest = words
    if program == "make":
        if unknown := {w for w in rest if w not in TARGETS and f"$({w.partition('=')[0]}" not in MAKEFILE}:
            raise ValueError(f"the Makefile has no {unknown}")
        return
    if program == "dvc":
        name, parser = rest[0], get_main_parser()
    else:
        rest = rest[2:]
        name = next((name for name in (" ".join(rest[:2]), rest[0]) if name in COMMANDS), "")
        if not name:
            raise ValueError(f"there is no command {rest}")
        parser = parser_of(name)[0]
        rest = rest[len(name.split()) :]
    arguments = rest[1:] if program == "dvc" else rest
    mentioned = [] if arguments else ["--help"]  # then the text speaks of the command only
    try:
        parser.parse_args([*rest, *mentioned])
    except (DvcParserError, SystemExit) as error:
        if not (isinstance(error, SystemExit) and error.code == 0):
            raise ValueError(f"{program} {name} refuses {rest}") from error


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_that_is_shown_exists(page: Path) -> None:
    for words in commands(page):
        check(words)


def test_commands_and_blocks_are_found() -> None:
    readme = ROOT / "README.md"
    shown = commands(readme)
    assert ["make", "demo"] in shown
    assert ["dvc", "repro", "teacher"] in commands(ROOT / "docs/guides/methods.md")
    assert ["python", "-m", "pipeline", "stages", "--profile", "mine"] in shown
    assert any(block.runnable for block in blocks(readme))


@pytest.mark.parametrize(
    "line",
    ["make everything", "make camvid IMAGES=x", "dvc reproduce", "dvc pull --recursively x", "python -m pipeline tidy",
     "python -m pipeline stages --profil x", "python -m pipeline compare none --seeds many"],
)  # fmt: skip
def test_a_command_that_does_not_exist_is_found(line: str) -> None:
    with pytest.raises(ValueError):
        check(line.split())
