"""Writes the pages of the site that come from the code: commands, parameters, and the messages of each error."""

import ast
import json
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, Literal, NamedTuple, get_args, get_origin

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from docs.prose import spoken_text
from models import HEADS
from pipeline.__main__ import COMMANDS, parser_of
from pipeline.curation.rule import all_rules
from pipeline.distillation import METHODS
from pipeline.params.tree import Params
from pipeline.preparation import ADAPTERS
from pipeline.runtime import TORCH_RUNNERS
from segdistill_runtime import RESIZE_MODES
from segdistill_runtime.targets import TARGETS

ROOT = Path(__file__).parents[1]
CODE = ("pipeline", "models", "segdistill_runtime")
TYPES = {
    "Count": "integer, 1 or more", "Index": "integer, 0 or more", "Positive": "number above 0",
    "NonNegative": "number, 0 or more", "Fraction": "number, 0 to 1", "Untracked": "path", "str": "text",
    "dict[str, Any]": "mapping", "dict[MethodName, Positive]": "mapping of methods to weights",
    "Any": "see below", "bool": "true or false", "int": "integer", "float": "number",
}  # fmt: skip
"""Words for the types of parameters."""
REGISTRIES = {"HEADS": HEADS, "ADAPTERS": ADAPTERS, "RESIZE_MODES": RESIZE_MODES}


class Parameter(NamedTuple):
    path: str
    kind: str
    default: str
    meaning: str


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    pages = {"reference/commands.md": commands_page(), "reference/parameters.md": parameters_page()}
    for path, text in pages.items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """List the messages of an error where a page asks for them."""
    messages = error_messages() if "<!-- messages " in markdown else {}
    return re.sub(r"<!-- messages (\w+) -->", lambda match: _listed(messages[match[1]]), markdown)


def commands_page() -> str:
    """Show the help of every command."""
    os.environ["COLUMNS"] = "100"  # the width of argparse's help
    parts = ["# Commands", "`make help` lists the targets of the front door. All other tools are these commands."]
    for name in COMMANDS:
        parts += [f"## {name}", f"```text\n{parser_of(name)[0].format_help()}```"]
    return "\n\n".join(parts)


def parameters_page() -> str:
    """Show every parameter of params.yaml with its type, default and meaning."""
    parts = [
        "# Parameters",
        "Every key of `params.yaml`. A key that you leave out has its default; an unknown key is an error.",
    ]
    for section in fields(Params):
        kind = _section_of(section.type)
        if section.name == "recipes":
            continue
        if section.name == "methods":
            parts += ["## methods", "Settings of a method, used by every run that names it.", _methods()]
            continue
        name = {"runs": "RUN"}.get(section.name, "")
        parts += [f"## {section.name}", *([_doc(kind)] if _doc(kind) else []), _table(parameters(kind, name))]
        if section.name == "dataset":
            parts += ["### dataset.options", _options()]
        if section.name == "curation":
            parts += ["### curation.rules", _rules()]
    return "\n\n".join(parts)


def parameters(kind: type, path: str, given: Any = None) -> Iterator[Parameter]:
    """Yield the parameters of a section and of the sections in it; defaults are those of `given`, if it is there."""
    declared = {name: found for base in reversed(kind.__mro__) for name, found in declarations(base).items()}
    for each in fields(kind):
        inner, name = _section_of(each.type), f"{path}.{each.name}".removeprefix(".")
        annotation, meaning = declared.get(each.name, ("", ""))
        if inner is not None and annotation == inner.__name__:
            own = getattr(given, each.name, None) or each.default
            yield from parameters(inner, name, own if is_dataclass(own) else None)
        elif inner is not None and annotation == f"{inner.__name__} | None":
            yield Parameter(name, f"keys of section `{each.name}`", "none", meaning)
        else:
            default = _default(each) if given is None else f"`{json.dumps(getattr(given, each.name))}`"
            yield Parameter(name, in_words(annotation), default, meaning)


def declarations(kind: type) -> dict[str, tuple[str, str]]:
    """Return the annotation and the comment of each field, as a class declares them."""
    module = sys.modules[kind.__module__]
    if not getattr(module, "__file__", None) or not is_dataclass(kind):
        return {}
    source = Path(str(module.__file__)).read_text(encoding="utf-8")
    lines = source.splitlines()
    found = {}
    node: Any = ast.parse(source)
    for name in kind.__qualname__.split("."):
        node = next((child for child in node.body if isinstance(child, ast.ClassDef) and child.name == name), None)
        if node is None:
            return {}
    for statement in node.body:
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            first, end = statement.lineno - 1, statement.end_lineno or 0
            comments = [_comment(line) for line in lines[first:end]]
            if any(comments):  # it may go on below
                while end < len(lines) and lines[end].strip().startswith("#"):
                    comments.append(_comment(lines[end]))
                    end += 1
            else:  # it may stand above
                while lines[first - 1].strip().startswith("#"):
                    first -= 1
                    comments.insert(0, _comment(lines[first]))
            alias = getattr(module, ast.unparse(statement.annotation), None)
            annotation = f"Literal{list(get_args(alias))}" if get_origin(alias) is Literal else None
            text = " ".join(filter(None, comments))
            found[statement.target.id] = (annotation or ast.unparse(statement.annotation), text)
    return found


def in_words(annotation: str) -> str:
    """Say in words what a parameter takes."""
    if annotation in TYPES:
        return TYPES[annotation]
    if inner := re.fullmatch(r"(.+) \| None", annotation):
        return f"{in_words(inner[1])}, or null"
    if inner := re.fullmatch(r"Annotated\[(\w+), Field\((.*)\)\]", annotation):
        limits = re.findall(r"(ge|gt|le|lt|min_length)=([\d.]+)", inner[2])
        signs = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below", "min_length": "of at least"}
        return ", ".join([in_words(inner[1]), *(f"{signs[sign]} {number}" for sign, number in limits)])
    if inner := re.fullmatch(r"(?:Annotated\[)?list\[(Runtime|Receiver)\].*", annotation):
        names = [*(TORCH_RUNNERS if inner[1] == "Runtime" else ()), *TARGETS]
        return "list of " + " or ".join(f"`{name}`" for name in names)
    if choice := re.search(r"Literal\[([^]]*)\]", annotation):
        values = " or ".join(f"`{value}`" for value in ast.literal_eval(f"[{choice[1]}]"))
        return f"list of {values}" if annotation.startswith(("list", "Annotated[list")) else values
    if inner := re.fullmatch(r"Annotated\[(\w+), AfterValidator\(key_of\((.*)\)\)\]", annotation):
        return " or ".join(f"`{name}`" for name in REGISTRIES.get(inner[2], [inner[2]]))
    return f"`{annotation}`"


def error_messages() -> dict[str, list[str]]:
    """Return the messages of each kind of error, with an ellipsis for each value in them."""
    found: dict[str, set[str]] = {}
    for folder in CODE:
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
                    kind = ast.unparse(node.exc.func).rpartition(".")[2]
                    found.setdefault(kind, set())
                    if node.exc.args and (text := spoken_text(node.exc.args[0], "…")):
                        found[kind].add(text)
    return {kind: sorted(messages) for kind, messages in found.items()}


def _listed(messages: list[str]) -> str:
    told = [re.sub(r"\s+", " ", message).strip() for message in messages]
    return "\n".join(f"- {message.replace('<', '&lt;')}" for message in told if len(message.split()) > 2)


def _comment(line: str) -> str:
    quoted = re.sub(r"\"[^\"]*\"|'[^']*'", lambda match: "_" * len(match[0]), line)
    return line[quoted.index("#") + 1 :].strip() if "#" in quoted and "# type:" not in quoted else ""


def _section_of(kind: Any) -> type | None:
    """Return the section that an annotation holds, also as a value of a mapping."""
    if is_dataclass(kind) and isinstance(kind, type):
        return kind
    return next((found for argument in get_args(kind) if (found := _section_of(argument))), None)


def _doc(kind: Any) -> str:
    said = kind.__doc__ or ""
    return "" if said.startswith(f"{kind.__name__}(") else said.split("\n")[0]


def _default(field: "Field[Any]") -> str:
    value = field.default if field.default is not MISSING else None
    if field.default is MISSING and field.default_factory is not MISSING:
        value = field.default_factory()
    elif field.default is MISSING:
        return "required"
    default = getattr(value, "default", value)  # of pydantic's Field
    factory = getattr(value, "default_factory", None)
    default = factory() if factory else default
    if "Undefined" in repr(default):
        return "required"
    return f"`{json.dumps(default)}`" if not is_dataclass(default) else "see below"


def _table(rows: Iterator[Parameter]) -> str:
    lines = ["| parameter | value | default | meaning |", "| --- | --- | --- | --- |"]
    lines += [f"| `{row.path}` | {_cell(row.kind)} | {_cell(row.default)} | {_cell(row.meaning)} |" for row in rows]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def _methods() -> str:
    rows = [row for name, place in METHODS.items() for row in parameters(resolve_name(place).Params, name)]
    return _table(iter(rows))


def _options() -> str:
    rows = [
        row._replace(path=f"{row.path} ({name})")
        for name, place in ADAPTERS.items()
        for row in parameters(resolve_name(place).Params, "")
    ]
    return _table(iter(rows))


def _rules() -> str:
    lines = ["| rule | policy | limits | finds |", "| --- | --- | --- | --- |"]
    for name, rule in all_rules().items():
        defaults = {each.name: each.default for each in fields(rule.Params)}
        policy = defaults.pop("policy")
        limits = ", ".join(f"`{key}: {json.dumps(value)}`" for key, value in defaults.items())
        lines.append(f"| `{name}` | {policy} | {limits} | {_cell(rule.meaning)} |")
    return "\n".join(lines)
