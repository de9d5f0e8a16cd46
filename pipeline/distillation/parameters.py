"""From a method's name to its class and its checked parameters; imports that one method only."""

import json
import pkgutil
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

from pydantic import TypeAdapter, ValidationError

from pipeline.distillation import METHODS
from pipeline.distillation.method import Method
from pipeline.errors import ParamsError
from pipeline.params.sections import nearest


def method_class(name: str) -> type[Method]:
    """Import a method.

    Raises:
        ParamsError: the table has no such name.
    """
    if name not in METHODS:
        raise ParamsError(f"no method {name!r}{nearest(name, METHODS)}; known are {', '.join(METHODS)}")
    return pkgutil.resolve_name(METHODS[name])


def method_params(name: str, values: Mapping[str, Any]) -> Any:
    """Check a method's section of params.yaml and fill in its defaults: an instance of the method's `Params`.

    Raises:
        ParamsError: an unknown method or key, or a value out of range; all complaints at once.
    """
    kind = method_class(name).Params
    try:
        return TypeAdapter(kind).validate_json(json.dumps(values))  # strict, but JSON's 1 is a float where one is asked
    except ValidationError as error:
        known = [field.name for field in fields(kind)]  # type: ignore[reportArgumentType]: a section
        complaints = "\n".join(f"  {_complaint(name, known, each)}" for each in error.errors())
        raise ParamsError(f"methods.{name} of params.yaml is not valid:\n{complaints}") from error


def run_methods(names: Iterable[str], values: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Check the parameters of the methods that a run uses.

    Args:
        values: section `methods` of params.yaml: by method, what differs from its defaults.

    Raises:
        ParamsError: as `method_params`.
    """
    return {name: method_params(name, values.get(name, {})) for name in names}


def _complaint(name: str, known: list[str], error: Any) -> str:
    where = ".".join(["methods", name, *map(str, error["loc"])])
    if error["type"] == "unexpected_keyword_argument":
        return f"{where}: unknown key{nearest(str(error['loc'][-1]), known)}"
    return f"{where}: {error['msg'].removeprefix('Value error, ')} (got {error['input']!r})"
