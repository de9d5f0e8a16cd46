"""params.yaml as one tree of frozen dataclasses: strict, and without a single default.

A default in code is a number that DVC cannot see, so every value stands in `params.yaml` and this package may stay
out of the stages' `deps`. The file is read with the parser that DVC uses (YAML 1.2).
"""

import json
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, TypeAdapter, ValidationError, model_validator
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
from pipeline.params.pretraining import PretrainingParams
from pipeline.params.runs import NO_TEACHER, RunParams, TeacherParams, TeachingParams, Weights
from pipeline.params.sections import Count, Fraction, Name, nearest, section
from pipeline.params.training import TrainingParams

Split = Literal["train", "val", "test"]


class ParamsError(SegdistillError):
    """params.yaml does not say what the code needs to know."""


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
                    raise ValueError(f"{option}: no candidate {name!r}{nearest(name, self.candidates)}")
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
    pretraining: PretrainingParams
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
    def _judged_on_other_images(self) -> "Params":
        if self.evaluation.split in self.training.splits:
            raise ValueError(
                f"evaluation.split: {self.evaluation.split} is among training.splits; nothing is judged on images that "
                f"it was trained on"
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
    def _crops_hold_what_networks_see(self) -> "Params":
        networks = {"teacher": self.teacher.network, **{f"runs.{name}": run.network for name, run in self.runs.items()}}
        for place, network in networks.items():
            if network.input_scale > self.training.image_scale:
                raise ValueError(
                    f"{place}.network.input_scale {network.input_scale:g} is larger than training.image_scale "
                    f"{self.training.image_scale:g}: crops would be too small for it"
                )
        return self

    @model_validator(mode="after")
    def _pretrained_backbones_exist(self) -> "Params":
        if self.teacher.network.weights.source == "pretraining":
            raise ValueError("teacher.network.weights.source: pretraining is for students; take timm or file")
        for name, run in self.runs.items():
            if run.network.weights.source != "pretraining":
                continue
            if not self.pretraining.iterations:
                raise ValueError(f"runs.{name}.network.weights.source is pretraining, and pretraining.iterations is 0")
            if run.network.backbone != self.pretraining.backbone:
                raise ValueError(
                    f"runs.{name}.network.backbone is {run.network.backbone!r}, pre-trained is "
                    f"{self.pretraining.backbone!r} (pretraining.backbone)"
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
    except (YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
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
        return f"{where}: unknown key{nearest(str(error['loc'][-1]), _known_keys(Params))}"
    if error["type"] == "missing":
        return f"{where}: missing"
    value = "" if isinstance(error["input"], dict) else f" (got {error['input']!r})"
    return f"{where}: {error['msg'].removeprefix('Value error, ')}{value}"


def _known_keys(kind: Any) -> set[str]:
    """Names of all fields in the tree, for the nearest-key hint."""
    if is_dataclass(kind):
        return {f.name for f in fields(kind)} | set().union(*(_known_keys(f.type) for f in fields(kind)))
    return set().union(*(_known_keys(k) for k in get_args(kind)))
