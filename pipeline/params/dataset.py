"""Where a dataset lies, how it is read, and how it is divided."""

import json
import pkgutil
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from pipeline.params.sections import Fraction, Index, nearest, section
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

    adapter: str  # which layout the source has: a key of ADAPTERS
    source: str  # folder of the raw data, relative to this profile; for streets the renderer's own code
    split: SplitParams = SplitParams()
    options: Annotated[Any, Field(validate_default=True)] = None  # `Params` of the adapter, declared in its file

    @field_validator("adapter")
    @classmethod
    def _is_registered(cls, adapter: str) -> str:
        if adapter not in ADAPTERS:
            raise ValueError(f"no adapter {adapter!r}{nearest(adapter, ADAPTERS)}; adapters are {', '.join(ADAPTERS)}")
        return adapter

    @field_validator("options", mode="before")
    @classmethod
    def _are_those_of_the_adapter(cls, options: Any, info: ValidationInfo) -> Any:
        if "adapter" not in info.data:
            return options  # the adapter is wrong, which is said already
        params = pkgutil.resolve_name(ADAPTERS[info.data["adapter"]]).Params
        if isinstance(options, params):
            return options
        try:
            return TypeAdapter(params).validate_json(json.dumps(options or {}))
        except ValidationError as error:
            raise _with_nearest_keys(error, params.__dataclass_fields__) from error


def _with_nearest_keys(error: ValidationError, known: dict[str, Any]) -> ValidationError:
    """The same error, but an unknown key comes with the known one that it resembles."""
    lines: list[InitErrorDetails] = []
    for line in error.errors():
        kind: str | PydanticCustomError = line["type"]
        if kind == "unexpected_keyword_argument":
            hint = nearest(str(line["loc"][-1]), known) or f"; it has {', '.join(known) or 'no keys'}"
            kind = PydanticCustomError("unknown_key", "unknown key{hint}", {"hint": hint})
        lines.append(InitErrorDetails(type=kind, loc=line["loc"], input=line["input"], ctx=line.get("ctx", {})))
    return ValidationError.from_exception_data(error.title, lines)
