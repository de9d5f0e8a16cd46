"""Define a rule: a check, its parameters with defaults, and the meaning of its findings.

This module and RULE_MODULES must import without OpenCV and torch: every stage imports them to read params.yaml.
"""

from collections.abc import Callable
from dataclasses import field, make_dataclass
from functools import cache
from pkgutil import resolve_name
from typing import Any, Literal, NamedTuple, get_args, get_type_hints

from pipeline.curation import RULE_MODULES
from pipeline.curation.duplicates import NearPair
from pipeline.data.samples import Sample
from pipeline.params.sections import section

Policy = Literal["drop", "warn", "block"]  # exclude the sample, only report it, stop all training
UNUSABLE = Literal["drop", "block"]  # policies for a sample that cannot be trained on
ABOUT_DATASET = Literal["warn", "block"]  # policies of a rule about the dataset as a whole

Subject = Literal["file", "case", "image", "mask", "dataset"]
"""The argument of a check: a case (`file` if the check is about files that cannot be decoded), the measurement of its
image or mask, or for `dataset` the arguments that `examine` passes to this rule."""

Check = Callable[..., Any]  # (subject, parameters) -> a reason or None; for the dataset: samples with reasons


class Finding(NamedTuple):
    """A sample that fails a rule; `sample` is None if the dataset as a whole fails."""

    rule: str
    policy: Policy
    sample: Sample | None
    reason: str
    pair: NearPair | None = None  # the two images, if the reason is a near-duplicate


class Rule(NamedTuple):
    """A check of curation; `rules.NAME` in params.yaml holds its parameters."""

    subject: Subject
    meaning: str  # for the report
    Params: type[Any]  # its section in params.yaml, with defaults
    check: Check

    @property
    def milder(self) -> list[Policy]:
        """Return the policies other than `block` that params.yaml may choose."""
        return [policy for policy in get_args(get_type_hints(self.Params)["policy"]) if policy != "block"]


def rule(subject: Subject, meaning: str, policy: Policy, policies: Any = Policy) -> Callable[[Check], Rule]:
    """Declare a function as the check of a rule. Its keyword-only arguments are the rule's parameters, with defaults.

    Args:
        policies: the policies that params.yaml may choose.
    """

    def declare(check: Check) -> Rule:
        hints = get_type_hints(check, include_extras=True)
        limits = [(name, hints[name], field(default=value)) for name, value in (check.__kwdefaults__ or {}).items()]
        members = [("policy", policies, field(default=policy)), *limits]
        params = section(make_dataclass(check.__name__, members, frozen=True, kw_only=True))
        return Rule(subject, meaning, params, check)

    return declare


@cache
def all_rules() -> dict[str, Rule]:
    """Return every rule by its name, in the order in which rules are declared and run."""
    modules = [resolve_name(module) for module in RULE_MODULES]
    return {name: found for module in modules for name, found in vars(module).items() if isinstance(found, Rule)}


def apply_rule(name: str, rules: Any, *subject: object) -> Any:
    """Return the result of a rule's check of its subject; `rules` has an attribute with the parameters of each rule."""
    limits = {key: value for key, value in vars(getattr(rules, name)).items() if key != "policy"}
    return all_rules()[name].check(*subject, **limits)
