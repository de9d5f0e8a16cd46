"""The documentation has a page for everything that the code can ask a reader to look up."""

import ast
import re
import subprocess
from dataclasses import fields
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from docs import pages
from pipeline.cli import HELP
from pipeline.code_digest import ROOT
from pipeline.distillation import METHODS
from pipeline.params.deployment import ParityParams
from pipeline.params.tree import Params

DOCS = ROOT / "docs"
MARKDOWN = [*sorted(ROOT.glob("*.md")), *sorted(DOCS.rglob("*.md"))]
GENERATED = {DOCS / "reference/commands.md", DOCS / "reference/parameters.md"}


def test_every_kind_of_error_has_an_entry() -> None:
    """Of all classes below those that `pipeline.cli` turns into a message."""
    bases: dict[str, set[str]] = {}
    for package in pages.CODE:
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ClassDef):
                    bases[node.name] = {ast.unparse(base).rpartition(".")[2] for base in node.bases}
    roots = {"SegdistillError", "Refused", "ModelError"}
    kinds = set(roots)
    while found := {name for name, parents in bases.items() if parents & kinds} - kinds:
        kinds |= found
    headings = set(re.findall(r"^## (\w+)$", (ROOT / HELP).read_text(), re.MULTILINE))
    assert len(kinds) > 10
    assert kinds - {"SegdistillError", "Refused"} <= headings


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


def test_commits_that_pages_name_exist() -> None:
    history = subprocess.run(["git", "rev-list", "--count", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    if int(history.stdout or 0) < 100:
        pytest.skip("this is no full clone: earlier commits are not here")
    named = {word for page in MARKDOWN for word in re.findall(r"`([0-9a-f]{7})`", page.read_text(encoding="utf-8"))}
    git = ["git", "cat-file", "--batch-check=%(objecttype)"]
    found = subprocess.run(git, cwd=ROOT, input="\n".join(sorted(named)), capture_output=True, text=True, check=True)
    types = dict(zip(sorted(named), found.stdout.splitlines(), strict=True))
    assert len(types) > 50
    assert [word for word, kind in types.items() if kind != "commit"] == []


def test_every_page_for_users_is_in_the_menu() -> None:
    menu = str(YAML(typ="safe", pure=True).load((ROOT / "mkdocs.yml").read_text())["nav"])
    for folder in ("tutorials", "guides", "reference", "explanation"):
        for page in (DOCS / folder).glob("*.md"):
            assert f"{folder}/{page.name}" in menu


def test_the_limits_of_parity_are_those_of_the_parameters() -> None:
    page = (DOCS / "explanation/parity.md").read_text()
    rows = [[cell.strip() for cell in line.split("|")[2:-1]] for line in page.splitlines() if line.startswith("|")][2:]
    limits = [[float(cell.removesuffix(" %")) for cell in row] for row in rows]
    shares, points = limits[:2], limits[2:]
    told = zip(*([cell / 100 for cell in row] for row in shares), *points, strict=True)
    params = ParityParams()
    kinds = (params.onnx_fp32, params.engine_fp32, params.fp16, params.int8)
    assert [tuple(column) for column in told] == [pytest.approx(tuple(vars(kind).values())) for kind in kinds]
