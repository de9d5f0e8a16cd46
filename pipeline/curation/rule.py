"""Define what a rule is: a check, its parameters with defaults, and what its findings mean.

This module and RULE_MODULES must import without OpenCV and torch: every stage reads them with params.yaml.
"""

from collections.abc import Callable
from functools import cache
from pkgutil import resolve_name
from typing import Annotated, Any, Literal, NamedTuple, get_type_hints

from pydantic import Field

from pipeline.curation import RULE_MODULES
from pipeline.data.samples import Sample
from pipeline.params.sections import Count, Fraction, NonNegative, Positive, section

Policy = Literal["drop", "warn", "block"]
"""drop: leave the sample out. warn: only report it. block: refuse the dataset."""


@section
class RuleParams:
    policy: Policy


@section
class UnusableParams:
    policy: Literal["drop", "block"]  # such a sample cannot be trained on


@section
class AboveParams:
    policy: Policy
    above: Fraction  # larger shares, 0..1, are findings


@section
class BelowParams:
    policy: Policy
    below: NonNegative  # smaller values are findings


@section
class ShiftParams:
    policy: Policy
    above: Fraction  # shift as a share of the longer side
    gain: Annotated[float, Field(ge=1)]  # least factor by which edge strength under the borders grows


@section
class OccurrenceParams:
    policy: Literal["warn", "block"]
    samples: Count  # least number of samples of a split in which a class must occur


@section
class RatioParams:
    policy: Literal["warn", "block"]
    above: Positive  # pixels of the most frequent class for each pixel of the rare one


class Finding(NamedTuple):
    """Something that a rule found in a sample, or in the dataset as a whole."""

    rule: str
    policy: Policy
    sample: Sample | None
    reason: str


class Rule(NamedTuple):
    """A check of curation; `rules.NAME` in params.yaml holds its parameters."""

    meaning: str  # for the report
    Params: type[Any]  # its section in params.yaml, with defaults
    check: Callable[..., Any]  # with `per_sample`: (case, params) -> reason or None
    per_sample: bool  # otherwise curate.py calls `check` with what the rule needs


def rule(meaning: str, params: type, per_sample: bool = True, **defaults: Any) -> Callable[[Callable[..., Any]], Rule]:
    """Declare a function as the check of a rule.

    Args:
        params: section that says which parameters the rule has.
        defaults: a value for each of them.
    """
    hints = get_type_hints(params, include_extras=True)
    with_defaults = type(
        params.__name__, (params,), {"__annotations__": {name: hints[name] for name in defaults}} | defaults
    )
    return lambda check: Rule(meaning, section(with_defaults), check, per_sample)


@cache
def all_rules() -> dict[str, Rule]:
    """Return every rule by its name, in the order in which they are written and run."""
    modules = [resolve_name(module) for module in RULE_MODULES]
    return {name: found for module in modules for name, found in vars(module).items() if isinstance(found, Rule)}
