"""What sections of params.yaml are made of."""

import difflib
from collections.abc import Callable, Collection
from typing import Annotated, Literal, TypeVar, dataclass_transform

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

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
Split = Literal["train", "val", "test"]
Precision = Literal["fp32", "fp16", "int8"]


def nearest(name: str, known: Collection[str]) -> str:
    """Return the known name that is most like `name`, as the end of a message; empty if none is."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    return f"; did you mean {near[0]!r}?" if near else ""


def key_of(registry: Collection[str]) -> Callable[[str], str]:
    """Return a validator that accepts the names of a registry only."""

    def validate(name: str) -> str:
        if name not in registry:
            raise ValueError(f"unknown {name!r}{nearest(name, registry)}; known: {', '.join(registry)}")
        return name

    return validate
