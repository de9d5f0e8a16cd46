"""What sections of params.yaml are made of."""

import difflib
from collections.abc import Collection
from typing import Annotated, TypeVar, dataclass_transform

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

Kind = TypeVar("Kind")


@dataclass_transform(kw_only_default=True, frozen_default=True)
def section(kind: type[Kind]) -> type[Kind]:
    """Declare a part of the tree: frozen, keyword-only, no unknown keys, no silent conversions."""
    return dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", strict=True))(kind)  # type: ignore[reportReturnType]


Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Index = Annotated[int, Field(ge=0)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]*$")]


def nearest(name: str, known: Collection[str]) -> str:
    """What a misspelt name was meant to be, as the end of a sentence; empty if nothing is like it."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    return f"; did you mean {near[0]!r}?" if near else ""
