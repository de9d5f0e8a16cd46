"""Define what a rule is: a check, its parameters with defaults, and what its findings mean.

This module and RULE_MODULES must import without OpenCV and torch: every stage reads them with params.yaml.
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

Policy = Literal["drop", "warn", "block"]  # leave the sample out, only report it, refuse the dataset
UNUSABLE = Literal["drop", "block"]  # policies for a sample that cannot be trained on
ABOUT_DATASET = Literal["warn", "block"]  # policies of a rule that blames no sample

Subject = Literal["file", "case", "image", "mask", "dataset"]
"""What a check gets: a case, if its files can be decoded (`file`) or not; the image or mask of one; or, about the
dataset, what `examine` passes to this rule."""

Check = Callable[..., Any]  # (subject, parameters) -> a reason or None; about the dataset: samples with reasons


class Finding(NamedTuple):
    """Something that a rule found in a sample, or in the dataset as a whole."""

    rule: str
    policy: Policy
    sample: Sample | None
    reason: str
    pair: NearPair | None = None  # the images that look the same, where that is the reason


class Rule(NamedTuple):
    """A check of curation; `rules.NAME` in params.yaml holds its parameters."""

    subject: Subject
    meaning: str  # for the report
    Params: type[Any]  # its section in params.yaml, with defaults
    check: Check

    @property
    def milder(self) -> list[Policy]:
        """The policies other than `block` that params.yaml may choose."""
        return [policy for policy in get_args(get_type_hints(self.Params)["policy"]) if policy != "block"]


def rule(subject: Subject, meaning: str, policy: Policy, policies: Any = Policy) -> Callable[[Check], Rule]:
    """Declare a function as the check of a rule. Its keyword-only arguments are the parameters, with their defaults.

    `policies` are those that params.yaml may choose.
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
    """Return every rule by its name, in the order in which they are written and run."""
    modules = [resolve_name(module) for module in RULE_MODULES]
    return {name: found for module in modules for name, found in vars(module).items() if isinstance(found, Rule)}


def apply_rule(name: str, rules: Any, *subject: object) -> Any:
    """Return what a rule finds in its subject; `rules` has an attribute with the parameters of each rule."""
    limits = {key: value for key, value in vars(getattr(rules, name)).items() if key != "policy"}
    return all_rules()[name].check(*subject, **limits)
