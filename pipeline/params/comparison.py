"""Section `comparison`: the candidates of `python -m pipeline compare`."""

from typing import Annotated

from pydantic import Field, model_validator

from pipeline.params.runs import NO_TEACHER, TeachingParams
from pipeline.params.sections import Name, section


@section
class ComparisonParams:
    recipe: str = ""  # baseline run whose recipe all candidates use; empty: the first run without a teacher
    confidence: Annotated[float, Field(gt=0, lt=1)] = 0.95  # confidence level of the intervals
    candidates: dict[Name, TeachingParams] = Field(default_factory=dict)  # added to the standard candidates;
    # a candidate with the name of a standard one replaces it

    @model_validator(mode="after")
    def _candidates_have_a_teacher(self) -> "ComparisonParams":
        if NO_TEACHER in self.candidates:
            raise ValueError(f"candidates.{NO_TEACHER}: the name is reserved for the baseline; choose another")
        for name, teaching in self.candidates.items():
            if not teaching.has_teacher:
                raise ValueError(f"candidates.{name}: gets nothing from the teacher; set `distill` or `inherit_layers`")
        return self
