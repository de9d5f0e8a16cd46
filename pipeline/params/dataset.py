"""Sections `dataset` and `curation`: where a dataset lies, how it is read and divided, and which samples are used."""

import pkgutil
from dataclasses import field, make_dataclass
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from pipeline.params.sections import Fraction, Index, key_of, read_section, section
from pipeline.preparation import ADAPTERS


@section
class SplitParams:
    """The division of labelled samples into train, val and test; unlabelled samples are only for training."""

    by: Literal["folders", "sequences"] = "folders"  # folders: the dataset's own splits;
    # sequences: whole sequences, by the shares below
    val_share: Fraction = 0.1  # share of the labelled images for val
    test_share: Fraction = 0.1  # share of the labelled images for test; both shares together below 1, the rest is train
    seed: Index = 0  # seed of the division by sequences

    @model_validator(mode="after")
    def _something_is_left_to_train_on(self) -> "SplitParams":
        if self.val_share + self.test_share >= 1:
            raise ValueError(f"val_share {self.val_share} and test_share {self.test_share} must add up to less than 1")
        return self


@section
class DatasetParams:
    """The dataset of a profile; most profiles set only `adapter` and `source`."""

    adapter: Annotated[str, AfterValidator(key_of(ADAPTERS))]  # layout of the source
    source: str  # folder of the raw data, relative to this profile; for streets, the renderer's own code
    split: SplitParams = SplitParams()
    options: Annotated[Any, Field(validate_default=True)] = None  # options of the adapter: `Params` in its file

    @field_validator("options", mode="before")
    @classmethod
    def _are_those_of_the_adapter(cls, options: Any, info: ValidationInfo) -> Any:
        if "adapter" not in info.data:
            return options  # the adapter is wrong, and its error is already reported
        return read_section(pkgutil.resolve_name(ADAPTERS[info.data["adapter"]]).Params, options or {})


@cache
def _rules_section() -> Any:
    """Return the section of all rules, one attribute for each; not built earlier, as rules import pipeline.params."""
    rules = pkgutil.resolve_name("pipeline.curation.rule:all_rules")()
    members = [(name, rule.Params, field(default_factory=rule.Params)) for name, rule in rules.items()]
    return section(make_dataclass("RulesParams", members, frozen=True, kw_only=True))


@section
class CurationParams:
    max_megapixels: Annotated[float, Field(gt=0, le=178)] = 100.0  # million pixels; larger images are not decoded;
    # pillow's own limit is 178
    rules: Annotated[Any, Field(validate_default=True)] = field(default_factory=dict)  # parameters of each rule, which
    # sample_rules.py and dataset_rules.py in pipeline/curation declare with defaults

    @field_validator("rules", mode="before")
    @classmethod
    def _are_those_of_the_rules(cls, rules: Any) -> Any:
        return read_section(_rules_section(), rules)
