"""Parameters of curation. Each rule declares its own section with defaults, see pipeline/curation/rule.py."""

import json
from dataclasses import field, fields, make_dataclass
from functools import cache
from pkgutil import resolve_name
from typing import Annotated, Any

from pydantic import Field, PlainValidator, TypeAdapter

from pipeline.params.sections import nearest, section


def resolve_rules(given: Any) -> Any:
    """Return the parameters of all rules, an attribute each: those given and the rules' defaults.

    The rules are looked up at the first call, because their modules import pipeline.params.
    """
    kind = _rules_section()
    if isinstance(given, kind):
        return given
    if not isinstance(given, dict):
        raise ValueError("must map names of rules to their parameters")
    known = [each.name for each in fields(kind)]
    for name in given:
        if name not in known:
            raise ValueError(f"no rule {name!r}{nearest(str(name), known)}")
    return TypeAdapter(kind).validate_json(json.dumps(given))


@cache
def _rules_section() -> Any:
    rules = resolve_name("pipeline.curation.rule:all_rules")()
    members = [(name, rule.Params, field(default_factory=rule.Params)) for name, rule in rules.items()]
    return section(make_dataclass("RulesParams", members, frozen=True, kw_only=True))


@section
class CurationParams:
    max_megapixels: Annotated[float, Field(gt=0, le=178)] = 100.0  # more is not decoded; pillow's limit is 178
    rules: Annotated[Any, PlainValidator(resolve_rules)] = field(default_factory=lambda: resolve_rules({}))
