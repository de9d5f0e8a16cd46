"""params.yaml as one tree: what people set, completed by the defaults of the sections.

The file is read with the parser that DVC uses (YAML 1.2). A run may name a recipe and give only what differs from it.
"""

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, get_args

from pydantic import Field, TypeAdapter, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.distillation import METHODS
from pipeline.errors import ParamsError
from pipeline.params.benchmark import BenchmarkParams
from pipeline.params.comparison import ComparisonParams, standard_candidates
from pipeline.params.curation import CurationParams
from pipeline.params.dataset import DatasetParams
from pipeline.params.engine import EngineParams
from pipeline.params.evaluation import EvaluationParams
from pipeline.params.export import ExportParams
from pipeline.params.inspection import InspectionParams
from pipeline.params.parity import ParityParams
from pipeline.params.pretraining import PretrainingParams
from pipeline.params.quantization import QuantizationParams
from pipeline.params.release import ReleaseParams
from pipeline.params.report import ReportParams
from pipeline.params.runs import RunParams, TeacherParams
from pipeline.params.sections import Name, nearest, section
from pipeline.params.training import TrainingParams

RECIPE = ("network", "prune", "iterations", "learning_rate", "seed")
"""What a run and its baseline must have in common: they differ in the teacher's help and in nothing else."""


@section
class Params:
    dataset: DatasetParams
    curation: CurationParams = Field(default_factory=CurationParams)
    teacher: TeacherParams
    training: TrainingParams = TrainingParams()
    pretraining: PretrainingParams = PretrainingParams()
    recipes: dict[Name, RunParams] = Field(default_factory=dict)  # complete runs, for `recipe` of others
    runs: dict[Name, RunParams]
    methods: dict[str, dict[str, Any]] = Field(default_factory=dict)  # settings that differ from a method's defaults
    comparison: ComparisonParams = ComparisonParams()
    evaluation: EvaluationParams = EvaluationParams()
    inspection: InspectionParams = InspectionParams()
    export: ExportParams
    parity: ParityParams = ParityParams()
    quantization: QuantizationParams = QuantizationParams()
    engine: EngineParams = EngineParams()
    benchmark: BenchmarkParams = BenchmarkParams()
    release: ReleaseParams = ReleaseParams()
    report: ReportParams = ReportParams()

    @model_validator(mode="after")
    def _methods_exist(self) -> "Params":
        for name in self.methods:
            if name not in METHODS:
                raise ValueError(f"methods.{name}: no such method{nearest(name, METHODS)}")
        return self

    @model_validator(mode="after")
    def _baselines_are_comparable(self) -> "Params":
        if "teacher" in self.runs:
            raise ValueError("runs.teacher: the name is taken by the teacher itself")
        for name, run in self.runs.items():
            if not run.baseline:
                continue
            baseline = self.runs.get(run.baseline)
            if baseline is None or baseline.has_teacher:
                raise ValueError(f"runs.{name}.baseline: {run.baseline!r} must name a run without a teacher")
            for field in RECIPE:
                if getattr(run, field) != getattr(baseline, field):
                    raise ValueError(f"runs.{name}.{field} differs from that of its baseline {run.baseline!r}")
        return self

    @model_validator(mode="after")
    def _comparison_has_a_recipe(self) -> "Params":
        name = self.comparison.recipe
        recipe = self.runs.get(name)
        if name and (recipe is None or recipe.has_teacher or recipe.prune.prunes):
            raise ValueError(f"comparison.recipe: {name!r} must name a run without a teacher that prunes nothing")
        return self

    @model_validator(mode="after")
    def _judged_on_other_images(self) -> "Params":
        if self.evaluation.split in self.training.splits:
            raise ValueError(f"evaluation.split: {self.evaluation.split} is among training.splits; judge on another")
        return self

    @model_validator(mode="after")
    def _pruned_networks_fit_their_source(self) -> "Params":
        sources = {"teacher": self.teacher.network}
        sources |= {f"students/{name}": run.network for name, run in self.runs.items()}
        for name, run in self.runs.items():
            if not run.prune.prunes:
                continue
            if run.prune.source not in sources or run.prune.source == f"students/{name}":
                raise ValueError(f"runs.{name}.prune.source: {run.prune.source!r} must name the teacher or another run")
            for same in ("architecture", "backbone", "head_channels", "auxiliary_channels"):
                if getattr(run.network, same) != getattr(sources[run.prune.source], same):
                    raise ValueError(f"runs.{name}.network.{same} differs from that of its source {run.prune.source!r}")
            if run.network.weights.source != "none" or run.inherit_layers:
                raise ValueError(
                    f"runs.{name}: a pruned network starts from {run.prune.source!r}; "
                    f"set weights.source to none and inherit_layers to false"
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
                raise ValueError(f"runs.{name}.network.weights.source is pretraining, but pretraining.iterations is 0")
            if run.network.backbone != self.pretraining.backbone:
                raise ValueError(
                    f"runs.{name}.network.backbone is {run.network.backbone!r}, but pretraining.backbone is "
                    f"{self.pretraining.backbone!r}"
                )
        return self

    @model_validator(mode="after")
    def _momentum_forgets(self) -> "Params":
        shifts = {f"runs.{name}": run.momentum_shift for name, run in self.runs.items()}
        shifts |= {f"comparison.candidates.{n}": c.momentum_shift for n, c in self.comparison.candidates.items()}
        for place, shift in shifts.items():
            if self.training.momentum + shift >= 1:
                raise ValueError(
                    f"{place}.momentum_shift {shift} and training.momentum {self.training.momentum} add up to 1 or more"
                )
        return self

    def run(self, name: str) -> RunParams:
        """Return a run; raise ParamsError if there is none of this name."""
        if name not in self.runs:
            raise ParamsError(f"no run {name!r} in params.yaml{nearest(name, self.runs)}; runs: {', '.join(self.runs)}")
        return self.runs[name]


def load_params(path: Path = Path("params.yaml")) -> Params:
    """Read and check a params file.

    Raises:
        ParamsError: not readable, not YAML, or any value wrong: all complaints at once, each with its path.
    """
    try:
        tree = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ParamsError(f"cannot read {path.resolve()}: {error.strerror}; run this in a profile's folder") from error
    except (YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise ParamsError(f"{path} is not YAML: {error}") from error
    try:
        # Through JSON: strict dataclasses refuse the dicts of Python for nested sections.
        params = TypeAdapter(Params).validate_json(json.dumps(_with_recipes(tree), default=str))
    except ValidationError as error:
        lines = "\n".join(f"  {_complaint(e)}" for e in error.errors())
        raise ParamsError(f"{path} is not valid:\n{lines}") from error
    return replace(
        params,
        runs={name: _with_baseline(name, params.runs) for name in params.runs},
        comparison=_with_standard_candidates(params),
    )


def _with_recipes(tree: Any) -> Any:
    """Complete each run by its recipe."""
    if not isinstance(tree, dict) or not isinstance(tree.get("runs"), dict):
        return tree
    recipes: Any = tree.get("recipes")
    recipes = recipes if isinstance(recipes, dict) else {}
    return {**tree, "runs": {name: _with_recipe(name, run, recipes) for name, run in tree["runs"].items()}}


def _with_recipe(name: str, run: Any, recipes: Mapping[str, Any]) -> Any:
    if not isinstance(run, dict) or "recipe" not in run:
        return run
    given = {key: value for key, value in run.items() if key != "recipe"}
    recipe = run["recipe"]
    if recipe not in recipes:
        known = f"; recipes: {', '.join(recipes)}" if recipes else ""
        raise ParamsError(f"runs.{name}.recipe: no recipe {recipe!r}{nearest(str(recipe), recipes)}{known}")
    return _merged(recipes[recipe], given)


def _merged(base: Any, changes: Any) -> Any:
    """Mappings are merged key by key, except weights of methods: a run that names methods has those and no others."""
    if not isinstance(base, dict) or not isinstance(changes, dict):
        return changes
    whole = {"distill"}
    return base | {
        key: value if key in whole or key not in base else _merged(base[key], value) for key, value in changes.items()
    }


def _with_baseline(name: str, runs: Mapping[str, RunParams]) -> RunParams:
    run = runs[name]
    if run.baseline:
        return run
    if not run.has_teacher:
        return replace(run, baseline=name)
    for other, baseline in runs.items():
        if not baseline.has_teacher and all(getattr(run, field) == getattr(baseline, field) for field in RECIPE):
            return replace(run, baseline=other)
    raise ParamsError(
        f"runs.{name}: no run without a teacher has the same {', '.join(RECIPE)}; add one, as the baseline of its gain"
    )


def _with_standard_candidates(params: Params) -> ComparisonParams:
    plain = (name for name, run in params.runs.items() if not run.has_teacher and not run.prune.prunes)
    return replace(
        params.comparison,
        recipe=params.comparison.recipe or next(plain, ""),
        candidates={**standard_candidates(), **params.comparison.candidates},
    )


def _complaint(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"]) or "(whole file)"
    if error["type"] == "unexpected_keyword_argument":
        return f"{where}: unknown key{nearest(str(error['loc'][-1]), _known_keys(Params))}"
    if error["type"] == "missing":
        return f"{where}: missing"
    value = "" if isinstance(error["input"], dict) else f" (got {error['input']!r})"
    return f"{where}: {error['msg'].removeprefix('Value error, ')}{value}"


def _known_keys(kind: Any) -> set[str]:
    """Return the names of all fields in the tree, to find the nearest."""
    if is_dataclass(kind):
        return {f.name for f in fields(kind)} | set().union(*(_known_keys(f.type) for f in fields(kind)))
    return set().union(*(_known_keys(k) for k in get_args(kind)))
