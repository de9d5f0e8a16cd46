"""Sections `dataset` and `curation`: where a dataset lies, how it is read and divided, and what may be used of it."""

import pkgutil
from dataclasses import field, make_dataclass
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from pipeline.params.sections import Fraction, Index, key_of, read_section, section
from pipeline.preparation import ADAPTERS


@section
class SplitParams:
    """Which labelled samples are for training, validation and test; unlabelled ones are for training alone."""

    by: Literal["folders", "sequences"] = "folders"  # the dataset's own splits; or whole sequences, by the shares below
    val_share: Fraction = 0.1  # of the labelled images
    test_share: Fraction = 0.1  # of the labelled images; together below 1, the rest is for training
    seed: Index = 0  # another one divides the sequences in another way

    @model_validator(mode="after")
    def _something_is_left_to_train_on(self) -> "SplitParams":
        if self.val_share + self.test_share >= 1:
            raise ValueError(f"val_share {self.val_share} and test_share {self.test_share} leave nothing to train on")
        return self


@section
class DatasetParams:
    """The dataset of a profile: most need an adapter and a source only."""

    adapter: Annotated[str, AfterValidator(key_of(ADAPTERS))]  # which layout the source has
    source: str  # folder of the raw data, relative to this profile; for streets the renderer's own code
    split: SplitParams = SplitParams()
    options: Annotated[Any, Field(validate_default=True)] = None  # `Params` of the adapter, declared in its file

    @field_validator("options", mode="before")
    @classmethod
    def _are_those_of_the_adapter(cls, options: Any, info: ValidationInfo) -> Any:
        if "adapter" not in info.data:
            return options  # the adapter is wrong, which is said already
        return read_section(pkgutil.resolve_name(ADAPTERS[info.data["adapter"]]).Params, options or {})


@cache
def _rules_section() -> Any:
    """Return the section of all rules, an attribute each. Their modules import pipeline.params, hence not earlier."""
    rules = pkgutil.resolve_name("pipeline.curation.rule:all_rules")()
    members = [(name, rule.Params, field(default_factory=rule.Params)) for name, rule in rules.items()]
    return section(make_dataclass("RulesParams", members, frozen=True, kw_only=True))


@section
class CurationParams:
    max_megapixels: Annotated[float, Field(gt=0, le=178)] = 100.0  # more is not decoded; pillow's limit is 178
    rules: Annotated[Any, Field(validate_default=True)] = field(default_factory=dict)  # by rule, the `Params` that it
    # declares with defaults: pipeline/curation/rule.py

    @field_validator("rules", mode="before")
    @classmethod
    def _are_those_of_the_rules(cls, rules: Any) -> Any:
        return read_section(_rules_section(), rules)
