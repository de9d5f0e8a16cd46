"""params.yaml as one tree of frozen dataclasses: strict, and without a single default.

A default in code is a number that DVC cannot see, so every value stands in `params.yaml` and this file may stay out of
the stages' `deps`. The file is read with the parser that DVC uses (YAML 1.2).
"""

import difflib
import json
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, dataclass_transform, get_args

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, field_validator, model_validator
from pydantic.dataclasses import dataclass
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.errors import SegdistillError

Kind = TypeVar("Kind")


@dataclass_transform(kw_only_default=True, frozen_default=True)
def section(kind: type[Kind]) -> type[Kind]:
    """Declare a part of the tree: frozen, keyword-only, no unknown keys, no silent conversions."""
    return dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", strict=True))(kind)  # type: ignore[reportReturnType]


Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Index = Annotated[int, Field(ge=0)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]*$")]

Split = Literal["train", "val", "test"]
Architecture = Literal["pspnet", "deeplabv3"]
Precision = Literal["fp32", "fp16"]


class ParamsError(SegdistillError):
    """params.yaml does not say what the code needs to know."""


@section
class StreetsParams:
    height: Annotated[int, Field(ge=64)]  # pixels
    width: Annotated[int, Field(ge=64)]  # pixels
    train_sequences: Count
    val_sequences: Count
    test_sequences: Count
    frames_per_sequence: Count
    broken_items: bool  # add a handful of defective samples, so that curation has work


@section
class DatasetParams:
    adapter: Literal["streets", "camvid", "cityscapes", "folder"]
    source: str  # folder of the raw data, relative to this profile; for streets the renderer's own code
    streets: StreetsParams  # read by the streets adapter only


@section
class CurationParams:
    near_duplicate_distance: NonNegative  # cosine distance of normalized thumbnails below which two images are one
    leakage: Literal["block", "drop", "warn"]  # near-duplicates across splits: stop, drop the later one, only report


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
    output_stride: Literal[8, 16, 32]  # input pixels per feature cell
    head_channels: Count
    auxiliary_channels: Count


@section
class TrainingParams:
    crop_height: Count  # pixels
    crop_width: Count  # pixels
    batch_size: Annotated[int, Field(ge=2)]
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
    precision: Literal["fp32", "bf16", "auto"]  # auto: bf16 where the machine computes it natively
    workers: Index  # data loader processes
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


@section
class NothingToSet:
    """Section of a method that has no parameters."""


@section
class GDDParams:
    temperature: Positive
    noise_std: NonNegative  # in units of the aligned student features


@section
class MGDParams:
    hidden_share: Fraction  # of the cells


@section
class TemperatureParams:
    temperature: Positive


@section
class SKDPairParams:
    pool: Count  # cells, side of a region


@section
class PixelToPixelParams:
    temperature: Positive
    group: Annotated[int, Field(ge=2)]  # images compared with each other


@section
class PixelToMemoryParams:
    temperature: Positive
    region_share: NonNegative  # weight of the regions' term, the cells' being 1
    pixel_memory: Count  # directions kept of each class
    region_memory: Count
    pixel_contrast: Count  # of them, compared with in one iteration
    region_contrast: Count
    cells_per_class: Count  # kept of one class in one image
    as_released: bool  # the authors' code keeps cells of any class

    @model_validator(mode="after")
    def _fits_the_memory(self) -> "PixelToMemoryParams":
        for name, length in (("pixel_memory", self.cells_per_class), ("pixel_memory", self.pixel_contrast),
                             ("region_memory", self.region_contrast)):  # fmt: skip
            if getattr(self, name) < length:
                raise ValueError(
                    f"{name} {getattr(self, name)} is shorter than what is put in or drawn at once, {length}"
                )
        return self


@section
class DISTParams:
    inter_class: NonNegative
    intra_class: NonNegative
    auxiliary_weight: NonNegative


@section
class DiffKDParams:
    latent_channels: Index  # of the autoencoder; 0 for none
    reduction: Count  # of the denoiser's bottlenecks


@section
class DiffKDLogitsParams:
    reduction: Count
    auxiliary_weight: NonNegative


@section
class CauchySchwarzParams:
    over: Literal["classes", "space"]


@section
class FAKDParams:
    strength: NonNegative  # of the covariance at the end of the ramp
    ramp_iterations: Count


@section
class BCKDParams:
    focus: NonNegative
    centered: bool


@section
class MethodsParams:
    """One section for each method of `pipeline.distillation.METHODS`."""

    gdd: GDDParams
    mgd: MGDParams
    cwd: TemperatureParams
    cwd_features: TemperatureParams
    kd: TemperatureParams
    at: NothingToSet
    fitnet: NothingToSet
    nfd: NothingToSet
    pkd: NothingToSet
    skd_pixel: NothingToSet
    skd_pair: SKDPairParams
    ifvd: NothingToSet
    cirkd_minibatch: PixelToPixelParams
    cirkd_memory: PixelToMemoryParams
    dist: DISTParams
    diffkd: DiffKDParams
    diffkd_logits: DiffKDLogitsParams
    cauchy_schwarz: CauchySchwarzParams
    fakd: FAKDParams
    bckd: BCKDParams


@section
class RunParams:
    network: NetworkParams
    distill: dict[str, Positive]  # weight of each method; none of them in a baseline
    momentum_shift: Annotated[float, Field(ge=0, lt=1)]  # DOT's, towards the distillation; 0 is plain SGD
    baseline: str  # the run of the same recipe without a teacher that the gain is measured against
    iterations: Count
    learning_rate: Positive
    seed: Index

    @field_validator("distill")
    @classmethod
    def _are_methods(cls, distill: dict[str, float]) -> dict[str, float]:
        known = [field.name for field in fields(MethodsParams)]
        for name in distill:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise ValueError(f"no method {name!r}{hint} Known are {', '.join(known)}")
        return distill

    @property
    def method(self) -> str:
        """Name of the method, or of all of them."""
        return "+".join(self.distill) or "none"


@section
class EvaluationParams:
    split: Split
    batch_size: Count


@section
class ExportParams:
    height: Count  # pixels; the exported graph has this one size
    width: Count
    opset: Annotated[int, Field(ge=18, le=20)]
    max_nodes: Count
    logit_images: Count  # images on which logits are compared
    max_logit_difference: Positive
    min_pixel_agreement: Fraction
    max_miou_difference_points: Positive


@section
class EngineParams:
    compute_capabilities: list[Literal["SM75", "SM80", "SM86", "SM89", "SM120", "SM121"]]
    precisions: list[Precision]
    max_miou_difference_points: dict[Precision, Positive]


@section
class ProfileParams:
    warmup_calls: Count
    warmup_s: NonNegative
    calls: Count
    min_s: NonNegative
    max_s: Positive
    threads: Count
    images: Count  # different images that are cycled through
    noisy_above: Positive  # coefficient of variation


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
    evaluation: EvaluationParams
    export: ExportParams
    engine: EngineParams
    profile: ProfileParams
    report: ReportParams

    @model_validator(mode="after")
    def _baselines_are_comparable(self) -> "Params":
        """A gain is a difference between two runs that differ in the teacher's help and in nothing else."""
        for name, run in self.runs.items():
            baseline = self.runs.get(run.baseline)
            if baseline is None or baseline.distill:
                raise ValueError(f"runs.{name}.baseline: {run.baseline!r} must name a run with `distill: {{}}`")
            for recipe in ("network", "iterations", "learning_rate", "seed"):
                if getattr(run, recipe) != getattr(baseline, recipe):
                    raise ValueError(f"runs.{name}.{recipe} differs from that of its baseline {run.baseline!r}")
            if run.momentum_shift and not run.distill:
                raise ValueError(f"runs.{name}.momentum_shift: there is no distillation to shift momentum to")
            if self.training.momentum + run.momentum_shift >= 1:
                raise ValueError(
                    f"runs.{name}.momentum_shift {run.momentum_shift} and training.momentum {self.training.momentum} "
                    f"come to 1 or more: the optimizer would never forget"
                )
        if "teacher" in self.runs:
            raise ValueError("runs.teacher: the name is taken by the teacher itself")
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
        near = difflib.get_close_matches(str(error["loc"][-1]), _known_keys(Params), n=1, cutoff=0.6)
        return f"{where}: unknown key" + (f"; did you mean {near[0]!r}?" if near else "")
    if error["type"] == "missing":
        return f"{where}: missing"
    value = "" if isinstance(error["input"], dict) else f" (got {error['input']!r})"
    return f"{where}: {error['msg'].removeprefix('Value error, ')}{value}"


def _known_keys(kind: Any) -> set[str]:
    """Names of all fields in the tree, for the nearest-key hint."""
    if is_dataclass(kind):
        return {f.name for f in fields(kind)} | set().union(*(_known_keys(f.type) for f in fields(kind)))
    return set().union(*(_known_keys(k) for k in get_args(kind)))
