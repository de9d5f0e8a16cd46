"""Sections `teacher` and `runs`: the teacher, and each student with its distillation."""

from dataclasses import replace
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from pipeline.distillation import METHODS
from pipeline.params.sections import Count, Fraction, Index, Positive, key_of, section
from pipeline.params.training import NetworkParams, TrainingParams

NO_TEACHER = "none"  # the method of a baseline
MethodName = Annotated[str, AfterValidator(key_of(METHODS))]


@section
class TeacherParams:
    network: NetworkParams
    iterations: Count = 40_000  # training iterations; default: the published schedule
    learning_rate: Positive = 0.01  # learning rate at the start; it falls polynomially
    seed: Index = 0  # seed of weights, crops and their order
    training: TrainingParams | None = None  # in params.yaml, only the keys that differ from section `training`


@section
class TeachingParams:
    """The help that a student gets from its teacher."""

    distill: dict[MethodName, Positive] = Field(
        default_factory=dict
    )  # weight of each method's loss; empty for a baseline
    momentum_shift: Annotated[float, Field(ge=0, lt=1)] = 0.0  # DOT's shift of momentum to distillation; 0: plain SGD
    max_gradient_norm: Positive | None = None  # replaces training.max_gradient_norm for this student
    inherit_layers: bool = False  # start from the teacher's layers whose name and shape match
    unlabelled_share: Fraction = 0.0  # share of the unlabelled images to distill on: those the teacher is surest of

    @model_validator(mode="after")
    def _options_need_a_method(self) -> "TeachingParams":
        if self.momentum_shift and not self.distill:
            raise ValueError("momentum_shift needs a method in `distill`")
        if self.max_gradient_norm and not self.distill:
            raise ValueError("max_gradient_norm needs a method in `distill`: baselines use training.max_gradient_norm")
        if self.unlabelled_share and not self.distill:
            raise ValueError("unlabelled_share needs a method in `distill`: nothing else uses an unlabelled image")
        return self

    @property
    def has_teacher(self) -> bool:
        return bool(self.distill) or self.inherit_layers

    def own_training(self, training: TrainingParams) -> TrainingParams:
        """Return the settings that all runs share, with those that this student replaces."""
        return replace(training, max_gradient_norm=self.max_gradient_norm or training.max_gradient_norm)

    @property
    def method(self) -> str:
        """Return the names of all methods and of other help from the teacher, joined by +; `none` without any."""
        options = {"unlabelled": bool(self.unlabelled_share), "inherited": self.inherit_layers}
        return "+".join([*self.distill, *(name for name, on in options.items() if on)]) or NO_TEACHER


@section
class PruneParams:
    """Start from a trained network without its weakest channels."""

    source: Annotated[str, Field(pattern=r"^(teacher|students/[a-z0-9][a-z0-9_]*)$")] = "teacher"  # or students/RUN
    keep: Annotated[float, Field(gt=0, le=1)] = 1.0  # share of the channels, rounded up to multiples of 16; 1: all

    @property
    def prunes(self) -> bool:
        return self.keep < 1


@section
class RunParams(TeachingParams):
    """One student. In params.yaml, a run may name a recipe and give only the keys that differ from it.

    `distill` and `weights` are replaced as a whole.
    """

    network: NetworkParams
    prune: PruneParams = PruneParams()
    baseline: str = ""  # run that the gain is measured against; empty: the run that differs only in the teacher
    iterations: Count = 40_000  # training iterations; default: the published schedule
    learning_rate: Positive = 0.01  # learning rate at the start; it falls polynomially
    seed: Index = 0  # seed of weights, crops and their order
