"""Declare and check sections of params.yaml."""

import difflib
import json
from collections.abc import Callable, Collection
from dataclasses import fields, is_dataclass
from typing import Annotated, Any, Literal, TypeVar, dataclass_transform, get_args

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass
from pydantic_core import InitErrorDetails, PydanticCustomError

Kind = TypeVar("Kind")


@dataclass_transform(kw_only_default=True, frozen_default=True)
def section(kind: type[Kind]) -> type[Kind]:
    """Declare a section: frozen, keyword-only, unknown keys are errors, nothing is converted silently."""
    return dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", strict=True))(kind)  # type: ignore[reportReturnType]


Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Index = Annotated[int, Field(ge=0)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]*$")]
# The place of a file: results do not depend on it, so DVC and identities of runs leave it out
Untracked = Annotated[str, Field(exclude=True)]
Split = Literal["train", "val", "test"]
Precision = Literal["fp32", "fp16", "int8"]


def nearest(name: str, known: Collection[str]) -> str:
    """Return the end of a message that suggests the known name most like `name`; empty if none is similar."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    return f"; did you mean {near[0]!r}?" if near else ""


def key_of(registry: Collection[str]) -> Callable[[str], str]:
    """Return a validator that accepts only the names of a registry."""

    def validate(name: str) -> str:
        if name not in registry:
            raise ValueError(f"unknown {name!r}{nearest(name, registry)}; known: {', '.join(registry)}")
        return name

    return validate


def read_section(kind: Any, given: Any) -> Any:
    """Check a section and fill in its defaults.

    The ValidationError has all errors at once; for an unknown key it suggests the most similar known key.
    """
    if isinstance(given, kind):
        return given
    try:
        # Through JSON: strict dataclasses refuse Python dicts for nested sections.
        return TypeAdapter(kind).validate_json(json.dumps(given, default=str))
    except ValidationError as error:
        lines: list[InitErrorDetails] = []
        for line in error.errors():
            reason: str | PydanticCustomError = line["type"]
            if reason == "unexpected_keyword_argument":
                hint = nearest(str(line["loc"][-1]), known_keys(kind))
                reason = PydanticCustomError("unknown_key", "unknown key{hint}", {"hint": hint})
            elif reason == "unknown_key":  # from a nested section that was read on its own
                reason = PydanticCustomError("unknown_key", line["msg"])  # type: ignore[reportArgumentType]: no template
            lines.append(InitErrorDetails(type=reason, loc=line["loc"], input=line["input"], ctx=line.get("ctx", {})))
        raise ValidationError.from_exception_data(error.title, lines) from error


def complaints(error: ValidationError, section: str = "") -> str:
    """Return the errors of a section: one indented line for each value, with its path."""
    lines = []
    for each in error.errors():
        path = [section, *(str(part) for part in each["loc"] if part != "[key]")]
        where = ".".join(filter(None, path)) or "(whole file)"
        told = "" if isinstance(each["input"], dict) or each["type"] == "missing" else f" (got {each['input']!r})"
        what = "missing" if each["type"] == "missing" else each["msg"].removeprefix("Value error, ")
        lines.append(f"  {where}: {what}{told}")
    return "\n".join(lines)


def known_keys(kind: Any) -> set[str]:
    """Return the names of all fields of a section and of the sections in it."""
    if is_dataclass(kind):
        return {each.name for each in fields(kind)}.union(*(known_keys(each.type) for each in fields(kind)))
    return set().union(*map(known_keys, get_args(kind)))
