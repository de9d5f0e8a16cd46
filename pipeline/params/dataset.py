"""Where a dataset lies, how it is read, and how it is divided."""

import re
from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.params.sections import Count, Fraction, Index, section


@section
class StreetsParams:
    height: Annotated[int, Field(ge=64)]  # pixels
    width: Annotated[int, Field(ge=64)]  # pixels
    train_sequences: Count
    val_sequences: Count
    test_sequences: Count
    unlabelled_sequences: Index  # drawn without masks
    frames_per_sequence: Count
    broken_items: bool  # add a handful of defective samples, so that curation has work


@section
class SplitParams:
    by: Literal["folders", "sequences"]  # as they lie in train, val and test; or whole sequences, by the shares below
    val_share: Fraction  # of the labelled images
    test_share: Fraction
    seed: Index
    sequence_pattern: str  # regular expression whose first group is an image's sequence; empty: its folder

    @model_validator(mode="after")
    def _something_is_left_to_train_on(self) -> "SplitParams":
        if self.val_share + self.test_share >= 1:
            raise ValueError(f"val_share {self.val_share} and test_share {self.test_share} leave nothing to train on")
        try:
            groups = re.compile(self.sequence_pattern).groups
        except re.error as error:
            raise ValueError(f"sequence_pattern is no regular expression: {error}") from error
        if self.sequence_pattern and not groups:
            raise ValueError(f"sequence_pattern {self.sequence_pattern!r} has no group, such as in '(.+)_[0-9]+'")
        return self


@section
class DatasetParams:
    adapter: Literal["streets", "camvid", "cityscapes", "folder"]
    source: str  # folder of the raw data, relative to this profile; for streets the renderer's own code
    split: SplitParams  # read by the folder adapter only
    streets: StreetsParams  # read by the streets adapter only
