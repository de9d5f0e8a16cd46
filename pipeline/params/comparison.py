"""Section `comparison`: what `python -m pipeline compare` compares."""

from typing import Annotated

from pydantic import Field, model_validator

from pipeline.params.runs import NO_TEACHER, TeachingParams
from pipeline.params.sections import Name, section


@section
class ComparisonParams:
    recipe: str = ""  # the baseline by whose recipe all candidates learn; empty: the first run without a teacher
    confidence: Annotated[float, Field(gt=0, lt=1)] = 0.95  # of the intervals
    candidates: dict[Name, TeachingParams] = Field(default_factory=dict)  # beside the standard ones, or instead of them

    @model_validator(mode="after")
    def _candidates_have_a_teacher(self) -> "ComparisonParams":
        if NO_TEACHER in self.candidates:
            raise ValueError(f"candidates.{NO_TEACHER}: the name is taken by the baseline")
        for name, teaching in self.candidates.items():
            if not teaching.has_teacher:
                raise ValueError(f"candidates.{name}: gets nothing from the teacher; set `distill` or `inherit_layers`")
        return self
