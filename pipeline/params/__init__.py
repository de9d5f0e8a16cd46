"""params.yaml as one tree of frozen dataclasses: strict, and without a single default.

A default in code is a number that DVC cannot see, so every value stands in `params.yaml` and this package may stay
out of the stages' `deps`. The file is read with the parser that DVC uses (YAML 1.2).
"""

import difflib
import json
from collections.abc import Collection
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.errors import SegdistillError
from pipeline.params.curation import CurationParams
from pipeline.params.dataset import DatasetParams
from pipeline.params.deployment import (
    EngineParams,
    ExportParams,
    ParityParams,
    ProfileParams,
    QuantizationParams,
    ReleaseParams,
)
from pipeline.params.methods import MethodsParams
from pipeline.params.sections import Count, Fraction, Index, Name, NonNegative, Positive, section

Split = Literal["train", "val", "test"]
Architecture = Literal["pspnet", "deeplabv3"]
NO_TEACHER = "none"  # the baseline, where methods are named


class ParamsError(SegdistillError):
    """params.yaml does not say what the code needs to know."""


@section
class WeightsParams:
    source: Literal["none", "timm", "file"]
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
class TrainingParams:
    crop_height: Count  # pixels
    crop_width: Count  # pixels
    batch_size: Annotated[int, Field(ge=2)]  # of one update, over all processes and parts
    scale_min: Positive  # of the random resize, 1 = native size
    scale_max: Positive
    flip_probability: Fraction
    brightness: NonNegative  # photometric distortion, largest change in grey values of 0..255
    contrast: Fraction  # largest relative change
    saturation: Fraction  # largest relative change
    hue: NonNegative  # degrees
    max_class_share: Fraction  # a crop with more of one class is drawn again, up to ten times
    min_learning_rate: NonNegative
    learning_rate_power: Positive
    momentum: Fraction
    weight_decay: NonNegative
    max_gradient_norm: Positive  # a longer gradient is shortened to this: the network and the method each for itself
    auxiliary_weight: NonNegative
    cross_entropy_mean: Literal["all_pixels", "labelled_pixels"]
    accumulate: Count  # parts that each process differentiates one after the other; BatchNorm sees a part at a time
    precision: Literal["fp32", "bf16", "fp16", "auto"]  # auto: bf16 where the machine computes it natively
    compile: Literal["auto", "always", "never"]  # networks; auto: on a GPU, where a trial finds them faster compiled
    deterministic: bool  # on a GPU too the same bytes every time; what has no such form is named in a warning
    devices: Count | Literal["auto"]  # GPUs, or processes without one; auto: all GPUs, or one. torchrun overrides it
    on_bad_loss: Literal[
        "stop", "skip"
    ]  # where a loss is NaN, infinite or a leap: end, or leave the update out and count
    spike_factor: Annotated[float, Field(ge=0)]  # a loss so many times above its running mean is a leap; 0: none is
    workers: Index  # data loader processes
    decoded_gib: NonNegative  # of disk for images decoded in advance, under scratch; 0: decode every time
    log_every: Count  # iterations
    checkpoint_every: Count  # iterations

    @model_validator(mode="after")
    def _ordered(self) -> "TrainingParams":
        if self.scale_min > self.scale_max:
            raise ValueError(f"scale_min {self.scale_min} is larger than scale_max {self.scale_max}")
        return self


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
            raise ValueError(f"no method {name!r}{_nearest(name, known)}; known are {', '.join(known)}")
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


@section
class ComparisonParams:
    """What `make compare` compares: candidates that all learn by the recipe of one baseline."""

    recipe: str  # a baseline among the runs
    confidence: Annotated[float, Field(gt=0, lt=1)]  # of the intervals
    candidates: dict[Name, Weights]  # as `distill` of a run
    momentum_shift: dict[str, Fraction]  # of the candidates named here; the others have plain SGD
    inherit_layers: list[str]  # candidates that do
    unlabelled_share: dict[str, Fraction]  # of the candidates that learn from unlabelled images

    @model_validator(mode="after")
    def _candidates_have_a_teacher(self) -> "ComparisonParams":
        if NO_TEACHER in self.candidates:
            raise ValueError(f"candidates.{NO_TEACHER}: the name is taken by the baseline")
        for option in ("momentum_shift", "inherit_layers", "unlabelled_share"):
            for name in getattr(self, option):
                if name not in self.candidates:
                    raise ValueError(f"{option}: no candidate {name!r}{_nearest(name, self.candidates)}")
        for name in self.candidates:
            if not self.teaching(name).has_teacher:
                raise ValueError(f"candidates.{name}: has nothing from the teacher")
        return self

    def teaching(self, candidate: str) -> TeachingParams:
        """All that a candidate has from the teacher."""
        return TeachingParams(
            distill=self.candidates[candidate],
            momentum_shift=self.momentum_shift.get(candidate, 0.0),
            inherit_layers=candidate in self.inherit_layers,
            unlabelled_share=self.unlabelled_share.get(candidate, 0.0),
        )


@section
class EvaluationParams:
    split: Split
    batch_size: Count


@section
class InspectionParams:
    boundary_pixels: Count  # a pixel no further from another label than this is at a boundary
    min_confidence: Fraction  # of the teacher, in each pixel that it holds to be mislabelled
    min_region_pixels: Count  # smaller regions are no mistakes of the label
    view_samples: Count  # of each view in the report


@section
class ReportParams:
    title: str
    examples: Count  # rows of the picture grid for each of best, median and worst


@section
class Params:
    root: str  # where the code lies, seen from this profile
    dataset: DatasetParams
    curation: CurationParams
    teacher: TeacherParams
    training: TrainingParams
    runs: dict[Name, RunParams]
    methods: MethodsParams
    comparison: ComparisonParams
    evaluation: EvaluationParams
    inspection: InspectionParams
    export: ExportParams
    parity: ParityParams
    quantization: QuantizationParams
    engine: EngineParams
    profile: ProfileParams
    release: ReleaseParams
    report: ReportParams

    @model_validator(mode="after")
    def _baselines_are_comparable(self) -> "Params":
        """A gain is a difference between two runs that differ in the teacher's help and in nothing else."""
        for name, run in self.runs.items():
            baseline = self.runs.get(run.baseline)
            if baseline is None or baseline.has_teacher:
                raise ValueError(f"runs.{name}.baseline: {run.baseline!r} must name a run without a teacher")
            for recipe in ("network", "prune", "iterations", "learning_rate", "seed"):
                if getattr(run, recipe) != getattr(baseline, recipe):
                    raise ValueError(f"runs.{name}.{recipe} differs from that of its baseline {run.baseline!r}")
        if "teacher" in self.runs:
            raise ValueError("runs.teacher: the name is taken by the teacher itself")
        recipe = self.runs.get(self.comparison.recipe)
        if recipe is None or recipe.has_teacher or recipe.prune.prunes:
            raise ValueError(
                f"comparison.recipe: {self.comparison.recipe!r} must name a run without a teacher that prunes nothing"
            )
        return self

    @model_validator(mode="after")
    def _pruned_networks_fit_their_source(self) -> "Params":
        sources = {"teacher": self.teacher.network} | {
            f"students/{name}": run.network for name, run in self.runs.items()
        }
        for name, run in self.runs.items():
            if not run.prune.prunes:
                continue
            if run.prune.source not in sources or run.prune.source == f"students/{name}":
                raise ValueError(f"runs.{name}.prune.source: {run.prune.source!r} must name the teacher or another run")
            for same in ("architecture", "backbone", "head_channels", "auxiliary_channels"):
                if getattr(run.network, same) != getattr(sources[run.prune.source], same):
                    raise ValueError(
                        f"runs.{name}.network.{same} differs from that of {run.prune.source!r}, its source"
                    )
            if run.network.weights.source != "none" or run.inherit_layers:
                raise ValueError(
                    f"runs.{name}: a pruned network has its first weights from {run.prune.source!r}; set "
                    f"weights.source to none and inherit_layers to false"
                )
        return self

    @model_validator(mode="after")
    def _momentum_forgets(self) -> "Params":
        places = {f"runs.{name}": run for name, run in self.runs.items()}
        places |= {f"comparison.{name}": self.comparison.teaching(name) for name in self.comparison.candidates}
        for place, teaching in places.items():
            if self.training.momentum + teaching.momentum_shift >= 1:
                raise ValueError(
                    f"{place}.momentum_shift {teaching.momentum_shift} and training.momentum {self.training.momentum} "
                    f"come to 1 or more: the optimizer would never forget"
                )
        return self

    def run(self, name: str) -> RunParams:
        if name not in self.runs:
            raise ParamsError(f"no run {name!r} in params.yaml; its runs are {', '.join(self.runs)}")
        return self.runs[name]


def load_params(path: Path = Path("params.yaml")) -> Params:
    """Read and check a params file.

    Raises:
        ParamsError: not readable, not YAML, or any value wrong: all complaints at once, each with its path.
    """
    try:
        tree = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ParamsError(
            f"cannot read {path.resolve()}: {error.strerror}; stages run in a profile's folder"
        ) from error
    except YAMLError as error:
        raise ParamsError(f"{path} is not YAML: {error}") from error
    try:
        # By way of JSON: strict dataclasses take no dict from Python, and would refuse every nested section.
        return TypeAdapter(Params).validate_json(json.dumps(tree, default=str))
    except ValidationError as error:
        lines = "\n".join(f"  {_complaint(e)}" for e in error.errors())
        raise ParamsError(f"{path} is not valid:\n{lines}") from error


def _complaint(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"]) or "(whole file)"
    if error["type"] == "unexpected_keyword_argument":
        return f"{where}: unknown key{_nearest(str(error['loc'][-1]), _known_keys(Params))}"
    if error["type"] == "missing":
        return f"{where}: missing"
    value = "" if isinstance(error["input"], dict) else f" (got {error['input']!r})"
    return f"{where}: {error['msg'].removeprefix('Value error, ')}{value}"


def _nearest(name: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    return f"; did you mean {near[0]!r}?" if near else ""


def _known_keys(kind: Any) -> set[str]:
    """Names of all fields in the tree, for the nearest-key hint."""
    if is_dataclass(kind):
        return {f.name for f in fields(kind)} | set().union(*(_known_keys(f.type) for f in fields(kind)))
    return set().union(*(_known_keys(k) for k in get_args(kind)))
