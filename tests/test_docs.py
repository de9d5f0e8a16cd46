"""The documentation has a page for everything that the code can ask a reader to look up."""

import importlib
import pkgutil
import re
from dataclasses import fields
from pathlib import Path

import pytest
from ruamel.yaml import YAML

import models
import pipeline
import segdistill_runtime
from docs import pages
from models.errors import ModelError
from pipeline.cli import HELP
from pipeline.code_digest import ROOT
from pipeline.distillation import METHODS
from pipeline.errors import SegdistillError
from pipeline.params.tree import Params
from segdistill_runtime.verify import Refused

DOCS = ROOT / "docs"
MARKDOWN = [*sorted(ROOT.glob("*.md")), *sorted(DOCS.rglob("*.md"))]
GENERATED = {DOCS / "reference/commands.md", DOCS / "reference/parameters.md"}


def test_every_kind_of_error_has_an_entry() -> None:
    for package in (models, pipeline, segdistill_runtime):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not {"__main__", "bundle_files", "inspection"} & set(module.name.split(".")):
                importlib.import_module(module.name)
    headings = set(re.findall(r"^## (\w+)$", (ROOT / HELP).read_text(), re.MULTILINE))
    raised = {kind.__name__ for base in (SegdistillError, ModelError, Refused) for kind in _with_subclasses(base)}
    assert raised - {"SegdistillError", "Refused", "BundleFailed"} <= headings


def _with_subclasses(kind: type) -> set[type]:
    return {kind}.union(*map(_with_subclasses, kind.__subclasses__()))


def test_messages_are_listed() -> None:
    messages = pages.error_messages()
    assert any("profile" in message for message in messages["ParamsError"])
    for kind in re.findall(r"<!-- messages (\w+) -->", (ROOT / HELP).read_text()):
        assert kind in messages


def test_every_parameter_is_explained() -> None:
    page = pages.parameters_page()
    for section in fields(Params):
        if section.name != "recipes":
            assert f"## {section.name}\n" in page
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| `")]
    assert [row[0] for row in rows if len(row) == 4 and not row[3].strip(" |")] == []
    assert {"| `batch_size`", "| `network.backbone`", "| `split.by`", "| `leakage`"} <= {row[0] for row in rows}
    assert all(f"`{name}." in page for name in METHODS if fields(pages.resolve_name(METHODS[name]).Params))


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        ("Count", "integer, 1 or more"),
        ("Positive | None", "number above 0, or null"),
        ("Annotated[int, Field(ge=18, le=20)]", "integer, at least 18, at most 20"),
        ("Literal['a', 'b']", "`a` or `b`"),
        ("list[Literal['a', 'b']]", "list of `a` or `b`"),
    ],
)
def test_a_type_is_told_in_words(annotation: str, words: str) -> None:
    assert pages.in_words(annotation) == words


@pytest.mark.parametrize("page", MARKDOWN, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_of_a_page_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if "://" not in target and not target.startswith("#"):
            path = (page.parent / target.partition("#")[0]).resolve()
            assert path.exists() or path in GENERATED, f"{page}: {target}"


def test_every_page_for_users_is_in_the_menu() -> None:
    menu = str(YAML(typ="safe", pure=True).load((ROOT / "mkdocs.yml").read_text())["nav"])
    for folder in ("tutorials", "guides", "reference", "explanation"):
        for page in (DOCS / folder).glob("*.md"):
            assert f"{folder}/{page.name}" in menu
