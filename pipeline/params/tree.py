"""Read params.yaml as one tree: your values, completed by the defaults of the sections.

The parser is the one that DVC uses (YAML 1.2). A run may name a recipe and give only the keys that differ from it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.errors import ParamsError
from pipeline.params.comparison import ComparisonParams
from pipeline.params.dataset import CurationParams, DatasetParams
from pipeline.params.deployment import (
    BenchmarkParams,
    EngineParams,
    EvaluationParams,
    ExportParams,
    InspectionParams,
    ParityParams,
    QuantizationParams,
    ReleaseParams,
    ReportParams,
)
from pipeline.params.runs import MethodName, RunParams, TeacherParams
from pipeline.params.sections import Name, complaints, nearest, read_section, section
from pipeline.params.training import PretrainingParams, TrainingParams

RECIPE = ("network", "prune", "iterations", "learning_rate", "seed")
"""The keys that a run and its baseline must have in common, so that they differ only in the teacher's help."""
PRUNED = ("architecture", "backbone", "head_channels", "auxiliary_channels")
"""The keys that a pruned network and its source must have in common."""


@section
class Params:
    dataset: DatasetParams
    curation: CurationParams = Field(default_factory=CurationParams)
    teacher: TeacherParams
    training: TrainingParams = TrainingParams()
    pretraining: PretrainingParams = PretrainingParams()
    recipes: dict[Name, RunParams] = Field(default_factory=dict)  # complete runs that others name as `recipe`
    runs: dict[Name, RunParams]
    methods: dict[MethodName, dict[str, Any]] = Field(
        default_factory=dict
    )  # settings that differ from a method's defaults
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
    def _sections_fit_together(self) -> "Params":
        if complaints := list(_contradictions(self)):
            raise ValueError("\n  ".join(complaints))
        return self

    @property
    def teacher_training(self) -> TrainingParams:
        return self.teacher.training or self.training

    @property
    def teacher_run(self) -> RunParams:
        """Return the teacher as a run without a teacher."""
        return RunParams(**{key: value for key, value in vars(self.teacher).items() if key != "training"})

    def run(self, name: str) -> RunParams:
        """Return a run; raise ParamsError if there is none of this name."""
        if name not in self.runs:
            raise ParamsError(f"no run {name!r} in params.yaml{nearest(name, self.runs)}; runs: {', '.join(self.runs)}")
        return self.runs[name]


def weight_files(params: Params) -> dict[Path, str]:
    """Return the files of ImageNet weights that networks start from, each with the SHA-256 that it must have."""
    networks = [params.teacher.network, *(run.network for run in params.runs.values())]
    sources = [network.weights for network in networks if network.weights.source == "file"]
    classifiers = [params.pretraining.classifier] if params.pretraining.iterations else []
    return {Path(source.file): source.sha256 for source in (*sources, *classifiers)}


def _contradictions(params: Params) -> Iterator[str]:
    """Yield the errors between sections that are valid on their own."""
    training, comparison, runs = params.training, params.comparison, params.runs
    trainings = {"training": training}
    if params.teacher.training:
        trainings["teacher.training"] = params.teacher.training
    batches = [(place, one.batch_size, one) for place, one in trainings.items()]
    if params.pretraining.iterations:
        batches.append(("pretraining", params.pretraining.batch_size, training))
    for place, one in trainings.items():
        if params.evaluation.split in one.splits:
            yield f"evaluation.split: {params.evaluation.split} is among {place}.splits; evaluate on another split"
    for place, size, one in batches:
        shares = one.accumulate * (1 if one.devices == "auto" else one.devices)
        if size % shares or size == one.accumulate:
            yield f"{place}.batch_size {size} cannot be divided into {shares} parts (accumulate x devices) of 2 or more"
    recipe = runs.get(comparison.recipe)
    if comparison.recipe and (recipe is None or recipe.has_teacher or recipe.prune.prunes):
        yield f"comparison.recipe: {comparison.recipe!r} must name a run without a teacher and without pruning"
    if "teacher" in runs:
        yield "runs.teacher: the name is reserved for the teacher; choose another"
    if params.teacher.network.weights.source == "pretraining":
        yield "teacher.network.weights.source: pretraining is for students; set timm or file"
    for place, network, scale in [
        ("teacher", params.teacher.network, params.teacher_training.image_scale),
        *((f"runs.{name}", run.network, training.image_scale) for name, run in runs.items()),
    ]:
        if network.input_scale > scale:
            yield (
                f"{place}.network.input_scale {network.input_scale:g} is larger than its training's image_scale "
                f"{scale:g}, so crops would be too small; lower input_scale or raise image_scale"
            )
    taught = {f"runs.{name}": run for name, run in runs.items()}
    taught |= {f"comparison.candidates.{name}": teaching for name, teaching in comparison.candidates.items()}
    for place, teaching in taught.items():
        if training.momentum + teaching.momentum_shift >= 1:
            yield (
                f"{place}.momentum_shift {teaching.momentum_shift} and training.momentum {training.momentum} "
                f"add up to 1 or more; lower one of them"
            )
    for name, run in runs.items():
        yield from (f"runs.{name}{complaint}" for complaint in _contradictions_of_run(params, name, run))


def _contradictions_of_run(params: Params, name: str, run: RunParams) -> Iterator[str]:
    baseline = params.runs.get(run.baseline)
    if run.baseline and (baseline is None or baseline.has_teacher):
        yield f".baseline: {run.baseline!r} must name a run without a teacher"
    elif baseline is not None:
        for field in _different(run, baseline, RECIPE):
            yield f".{field} differs from that of its baseline {run.baseline!r}; make them equal"
    if run.prune.prunes:
        sources = {f"students/{other}": source.network for other, source in params.runs.items() if other != name}
        source = {"teacher": params.teacher.network, **sources}.get(run.prune.source)
        if source is None:
            yield f".prune.source: {run.prune.source!r} must name the teacher or another run"
        else:
            for field in _different(run.network, source, PRUNED):
                yield f".network.{field} differs from that of its source {run.prune.source!r}; make them equal"
        if run.network.weights.source != "none" or run.inherit_layers:
            yield (
                f": a pruned network starts from {run.prune.source!r}; "
                f"set weights.source to none and inherit_layers to false"
            )
    if run.network.weights.source == "pretraining":
        if not params.pretraining.iterations:
            yield ".network.weights.source is pretraining, but pretraining.iterations is 0"
        elif run.network.backbone != params.pretraining.backbone:
            yield (
                f".network.backbone is {run.network.backbone!r}, but pretraining.backbone is "
                f"{params.pretraining.backbone!r}"
            )


def _different(one: Any, other: Any, names: tuple[str, ...]) -> list[str]:
    return [name for name in names if getattr(one, name) != getattr(other, name)]


def load_params(path: Path = Path("params.yaml")) -> Params:
    """Read and check a params file; the ParamsError has all errors at once, each with its path."""
    try:
        tree = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ParamsError(f"cannot read {path.resolve()}: {error.strerror}; run this in a profile's folder") from error
    except (YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise ParamsError(f"{path} is not YAML: {error}") from error
    try:
        params: Params = read_section(Params, _with_teacher_training(_with_recipes(tree)))
    except ValidationError as error:
        raise ParamsError(f"{path} is not valid:\n{complaints(error)}") from error
    plain = (name for name, run in params.runs.items() if not run.has_teacher and not run.prune.prunes)
    comparison = replace(params.comparison, recipe=params.comparison.recipe or next(plain, ""))
    runs = {name: _with_baseline(name, params.runs) for name in params.runs}
    return replace(params, runs=runs, comparison=comparison)


def _with_recipes(tree: Any) -> Any:
    """Complete each run by its recipe."""
    if not isinstance(tree, dict) or not isinstance(tree.get("runs"), dict):
        return tree
    recipes = tree["recipes"] if isinstance(tree.get("recipes"), dict) else {}
    return {**tree, "runs": {name: _with_recipe(name, run, recipes) for name, run in tree["runs"].items()}}


def _with_teacher_training(tree: Any) -> Any:
    """Complete the teacher's own `training`, if it has one, by the section `training`."""
    if not isinstance(tree, dict) or not isinstance(teacher := tree.get("teacher"), dict) or "training" not in teacher:
        return tree
    return {**tree, "teacher": {**teacher, "training": _merged(tree.get("training", {}), teacher["training"])}}


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
    """Merge mappings key by key, except `distill` and `weights`, which a run replaces as a whole."""
    if not isinstance(base, dict) or not isinstance(changes, dict):
        return changes
    whole = {"distill", "weights"}
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
        if not baseline.has_teacher and not _different(run, baseline, RECIPE):
            return replace(run, baseline=other)
    raise ParamsError(
        f"runs.{name}: no run without a teacher has the same {', '.join(RECIPE)}; add one as its baseline"
    )
