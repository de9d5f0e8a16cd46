"""Section `comparison`: what `python -m pipeline compare` compares."""

from typing import Annotated

from pydantic import Field, model_validator

from pipeline.params.runs import NO_TEACHER, TeachingParams
from pipeline.params.sections import Name, section

# Weights are their authors', brought to a PSPNet student at output stride 8; docs/methods.md names the sources.
WEIGHTS: dict[str, dict[str, float]] = {
    "gdd": {"gdd": 145.0},
    "mgd": {"mgd": 2e-5},
    "nfd": {"nfd": 6.0},  # none published: that of pkd, which has the same form
    "pkd": {"pkd": 6.0},  # mmrazor's
    "diffkd": {"diffkd": 1.0},
    "diffkd_logits": {"diffkd_logits": 1.0},
    "at": {"at": 5000.0},  # CIRKD's, for features of 128 x 256 cells
    "fitnet": {"fitnet": 10.0},  # CIRKD's
    "cwd_features": {"cwd_features": 50.0},  # CIRKD's
    "cwd": {"cwd": 3.0},
    "cwd_dist": {"cwd": 3.0, "dist": 1.0},  # the best on CamVid at half size (docs/log.md)
    "kd": {"kd": 1.0},  # CIRKD's
    "skd_pixel": {"skd_pixel": 10.0},
    "skd_pair": {"skd_pair": 10.0},  # CIRKD's
    "ifvd": {"ifvd": 20.0},  # CIRKD's; the first authors have 200
    "cirkd": {"kd": 1.0, "cirkd_minibatch": 1.0, "cirkd_memory": 0.1},
    "cirkd_minibatch": {"cirkd_minibatch": 1.0},
    "cirkd_memory": {"cirkd_memory": 0.1},
    "dist": {"dist": 1.0},
    "cauchy_schwarz": {"cauchy_schwarz": 1.0},  # none published for a single task
    "fakd": {"fakd": 1.0},  # none published
    "bckd": {"bckd": 1.0},  # published for detection
    "ferkd": {"ferkd": 1.0},  # that of kd, which it calibrates
    "adakd": {"adakd": 1.0},  # that of kd, which it weighs
    "gdd_kd": {"gdd": 145.0, "kd": 1.0},
}


CANDIDATES = {name: TeachingParams(distill=weights) for name, weights in WEIGHTS.items()}
CANDIDATES["kd_dot"] = TeachingParams(distill={"kd": 1.0}, momentum_shift=0.075)  # DOT's authors' shift
"""What every profile can compare, with weights for published settings."""


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
