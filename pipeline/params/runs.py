"""What of params.yaml describes networks: the teacher, and each student with all that it has from the teacher."""

from dataclasses import fields
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from pipeline.params.methods import MethodsParams
from pipeline.params.sections import Count, Fraction, Index, Positive, nearest, section

Architecture = Literal["pspnet", "deeplabv3"]
NO_TEACHER = "none"  # the baseline, where methods are named


@section
class WeightsParams:
    source: Literal["none", "timm", "file", "pretraining"]  # pretraining: what stage pretrain made
    file: str  # safetensors file for source `file`, else empty
    sha256: str  # of that file, checked before it is read; empty otherwise

    @model_validator(mode="after")
    def _file_needs_a_hash(self) -> "WeightsParams":
        if (self.source == "file") != bool(self.file and self.sha256):
            raise ValueError("`file` and `sha256` must both be given for source `file` and be empty for any other")
        return self


@section
class NetworkParams:
    architecture: Architecture
    backbone: str  # a timm name, or resnet18_v1c
    weights: WeightsParams
    input_scale: Annotated[float, Field(ge=0.25, le=1)]  # of the image that the network works on; 1 = native size
    output_stride: Literal[8, 16, 32]  # pixels of that image per feature cell
    head_channels: Count
    auxiliary_channels: Count


@section
class TeacherParams:
    network: NetworkParams
    iterations: Count
    learning_rate: Positive
    seed: Index


def _are_methods(weights: dict[str, float]) -> dict[str, float]:
    known = [field.name for field in fields(MethodsParams)]
    for name in weights:
        if name not in known:
            raise ValueError(f"no method {name!r}{nearest(name, known)}; known are {', '.join(known)}")
    return weights


Weights = Annotated[dict[str, Positive], AfterValidator(_are_methods)]


@section
class TeachingParams:
    """What a student has from its teacher."""

    distill: Weights  # of each method; none of them in a baseline
    momentum_shift: Annotated[float, Field(ge=0, lt=1)]  # DOT's, towards the distillation; 0 is plain SGD
    inherit_layers: bool  # begin with the weights of the teacher's layers where name and shape match
    unlabelled_share: Fraction  # of the unlabelled images, those the teacher is surest of: they teach by distillation

    @model_validator(mode="after")
    def _options_need_a_method(self) -> "TeachingParams":
        if self.momentum_shift and not self.distill:
            raise ValueError("momentum_shift: there is no distillation to shift momentum to")
        if self.unlabelled_share and not self.distill:
            raise ValueError("unlabelled_share: without distillation an unlabelled image teaches nothing")
        return self

    @property
    def has_teacher(self) -> bool:
        return bool(self.distill) or self.inherit_layers

    @property
    def method(self) -> str:
        """Name of the method, or of all of them, with what else comes from the teacher."""
        options = {"unlabelled": bool(self.unlabelled_share), "inherited": self.inherit_layers}
        return "+".join([*self.distill, *(name for name, on in options.items() if on)]) or NO_TEACHER


@section
class PruneParams:
    """Whether a student begins as a trained network without its weakest channels."""

    source: Annotated[
        str, Field(pattern=r"^(teacher|students/[a-z0-9][a-z0-9_]*)$")
    ]  # `teacher` where nothing is pruned
    keep: Annotated[float, Field(gt=0, le=1)]  # of all channels, rounded up to multiples of 16; 1: nothing is pruned

    @model_validator(mode="after")
    def _whole_networks_wait_for_nobody(self) -> "PruneParams":
        if not self.prunes and self.source != "teacher":
            raise ValueError(f"with keep 1.0 nothing comes from {self.source!r}: set `source` to teacher, or keep less")
        return self

    @property
    def prunes(self) -> bool:
        return self.keep < 1


@section
class RunParams(TeachingParams):
    network: NetworkParams
    prune: PruneParams
    baseline: str  # the run of the same recipe without a teacher that the gain is measured against
    iterations: Count
    learning_rate: Positive
    seed: Index
