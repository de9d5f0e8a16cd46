"""All stages of a profile in one table: which parameters and files each reads, which code it runs, what it writes.

`dvc.yaml` is written from it, stage `resolve` tells DVC the parameters and the code that it gives each stage, and
each stage takes its parameters from it. So no stage can read a parameter that DVC does not track.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from models import BACKBONES, HEADS
from pipeline.code_digest import closure, digest
from pipeline.curation import RULE_MODULES
from pipeline.distillation import METHODS
from pipeline.errors import ParamsError
from pipeline.params.network import NetworkParams
from pipeline.params.runs import RunParams
from pipeline.params.sections import nearest
from pipeline.params.tree import Params, load_params
from pipeline.preparation import ADAPTERS
from pipeline.runtime import TORCH_RUNNERS
from segdistill_runtime.targets import TARGETS

CLASSES, SAMPLES, STATISTICS = "data/prepared/classes.json", "data/curated/samples.csv", "data/curated/statistics.json"
TEACHER = "artifacts/teacher"
PRETRAINED = "artifacts/pretraining"
RUNNERS = (*TORCH_RUNNERS.values(), *TARGETS.values())


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage, or the part of it that one run has."""

    script: str  # module in stages/
    run: str = ""  # its argument
    settings: Mapping[str, Any]  # all that it reads of params.yaml: keyword arguments of its entry function
    untracked: tuple[str, ...] = ()  # dotted paths in the settings that change nothing here
    code: tuple[str, ...] = ()  # entries of registries that it uses
    idle: tuple[str, ...] = ()  # modules that it imports, but does not use with these settings
    deps: tuple[str, ...] = ()
    outs: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()  # small files that git keeps

    @property
    def name(self) -> str:
        return f"{self.script}-{self.run}" if self.run else self.script

    @property
    def code_digest(self) -> str:
        return digest(closure([f"stages.{self.script}", *self.code], self.idle))


def load_stage(script: str, run: str = "") -> Stage:
    """Return a stage of the profile in the working directory.

    Raises:
        ParamsError: params.yaml is wrong, or has no such run.
    """
    builders = dict(_builders(load_params()))
    runs = [name.run for name in builders if name.script == script]
    if StageName(script, run) not in builders:
        raise ParamsError(f"stage {script} has no run {run!r}{nearest(run, runs)}; it has {', '.join(runs) or 'none'}")
    return builders[StageName(script, run)]()


def stage_table(params: Params) -> list[Stage]:
    """Return the stages in the order in which they run."""
    return [build() for _, build in _builders(params)]


class StageName(NamedTuple):
    script: str
    run: str = ""


def _builders(params: Params) -> Iterator[tuple[StageName, Callable[[], Stage]]]:
    """Yield a name and a function for each stage: building one imports the methods of its run."""
    yield StageName("prepare"), partial(_prepare, params)
    yield StageName("curate"), partial(_curate, params)
    if params.pretraining.iterations:
        yield StageName("pretrain"), partial(_pretrain, params)
    yield StageName("teacher"), partial(_teacher, params)
    for name, run in params.runs.items():
        yield StageName("student", name), partial(student_stage, params, name, run)
    yield StageName("evaluate", "teacher"), partial(_evaluate_teacher, params)
    for build in (evaluate_stage, _export, _quantize, _engine, _benchmark, _release):
        for name, run in params.runs.items():
            yield (
                StageName(build.__name__.removeprefix("_").removesuffix("_stage"), name),
                partial(build, params, name, run),
            )
    yield StageName("inspect"), partial(_inspect, params)
    yield StageName("report"), partial(_report, params)


def _prepare(params: Params) -> Stage:
    source = params.dataset.source
    return Stage(
        script="prepare",
        settings={"dataset": params.dataset},
        code=(ADAPTERS[params.dataset.adapter],),
        deps=(source,) if source else (),
        outs=("data/prepared",),
    )


def _curate(params: Params) -> Stage:
    return Stage(
        script="curate",
        settings={"curation": params.curation, "source": Path(params.dataset.source)},
        code=RULE_MODULES,
        deps=("data/prepared", "review.csv"),
        outs=("data/curated", "reports/curation.md", "reports/curation"),
    )


def _pretrain(params: Params) -> Stage:
    return Stage(
        script="pretrain",
        settings={"pretraining": params.pretraining, "training": params.training},
        code=(_backbone_code(params.pretraining.backbone), _backbone_code(params.pretraining.classifier.backbone)),
        deps=(CLASSES, SAMPLES),
        outs=(PRETRAINED,),
    )


def _teacher(params: Params) -> Stage:
    return Stage(
        script="teacher",
        settings={"teacher": params.teacher, "training": params.training},
        code=_network_code(params.teacher.network),
        deps=(CLASSES, SAMPLES, STATISTICS),
        outs=(TEACHER,),
    )


def student_stage(params: Params, name: str, run: RunParams) -> Stage:
    deps = [CLASSES, SAMPLES, STATISTICS]
    if run.has_teacher:
        deps.append(TEACHER)
    if run.prune.prunes:
        deps.append(f"artifacts/{run.prune.source}")
    if run.network.weights.source == "pretraining":
        deps.append(PRETRAINED)
    return Stage(
        script="student",
        run=name,
        settings={"run": run, "methods": _run_methods(params, run.distill), "training": params.training},
        untracked=("run.baseline",),
        code=_student_code(params, run),
        idle=_student_idle(run),
        deps=tuple(dict.fromkeys(deps)),
        outs=(f"artifacts/students/{name}",),
    )


def _evaluate_teacher(params: Params) -> Stage:
    return Stage(
        script="evaluate",
        run="teacher",
        settings={**_evaluation(params), "method": "none", "weights": {}, "seed": params.teacher.seed},
        code=(*_network_code(params.teacher.network), *TORCH_RUNNERS.values()),
        deps=(CLASSES, SAMPLES, TEACHER),
        outs=("artifacts/evaluation/teacher",),
        metrics=("reports/metrics/evaluate/teacher.json",),
    )


def evaluate_stage(params: Params, name: str, run: RunParams) -> Stage:
    return Stage(
        script="evaluate",
        run=name,
        settings={**_evaluation(params), "method": run.method, "weights": run.distill, "seed": run.seed},
        code=(*_network_code(run.network), *TORCH_RUNNERS.values()),
        deps=(CLASSES, SAMPLES, f"artifacts/students/{name}"),
        outs=(f"artifacts/evaluation/{name}",),
        metrics=(f"reports/metrics/evaluate/{name}.json",),
    )


def _export(params: Params, name: str, run: RunParams) -> Stage:
    return Stage(
        script="export",
        run=name,
        settings={"export": params.export, "parity": params.parity, "split": params.evaluation.split},
        untracked=("parity.engine_fp32", "parity.int8"),
        code=(*_network_code(run.network), *RUNNERS),
        deps=(CLASSES, SAMPLES, f"artifacts/students/{name}", f"artifacts/evaluation/{name}"),
        outs=(f"artifacts/export/{name}",),
        metrics=(f"reports/metrics/export/{name}.json",),
    )


def _quantize(params: Params, name: str, run: RunParams) -> Stage:
    tunes = bool(params.quantization.fine_tuning.iterations)
    teacher = (TEACHER,) if tunes and run.has_teacher else ()
    training = (STATISTICS, *teacher) if tunes else ()
    return Stage(
        script="quantize",
        run=name,
        settings={
            "run": run,
            "methods": _run_methods(params, run.distill),
            "training": params.training,
            "quantization": params.quantization,
            "parity": params.parity,
            "export": params.export,
            "split": params.evaluation.split,
        },
        untracked=("run.baseline", "parity.engine_fp32", "parity.onnx_fp32", "parity.fp16"),
        code=(*_student_code(params, run), *RUNNERS),
        idle=_student_idle(run),
        deps=(
            CLASSES,
            SAMPLES,
            *training,
            *(f"artifacts/{kind}/{name}" for kind in ("students", "evaluation", "export")),
        ),
        outs=(f"artifacts/quantize/{name}",),
        metrics=(f"reports/metrics/quantize/{name}.json",),
    )


def _engine(params: Params, name: str, run: RunParams) -> Stage:
    return Stage(
        script="engine",
        run=name,
        settings={"engine": params.engine, "parity": params.parity, "split": params.evaluation.split},
        code=RUNNERS,
        deps=(
            CLASSES,
            SAMPLES,
            *(f"artifacts/{kind}/{name}" for kind in ("evaluation", "export", "quantize")),
            *(f"reports/metrics/{kind}/{name}.json" for kind in ("export", "quantize")),
        ),
        outs=(f"artifacts/engine/{name}",),
        metrics=(f"reports/metrics/engine/{name}.json",),
    )


def _benchmark(params: Params, name: str, run: RunParams) -> Stage:
    return Stage(
        script="benchmark",
        run=name,
        settings={"benchmark": params.benchmark, "export": params.export, "split": params.evaluation.split},
        code=(*_network_code(run.network), *RUNNERS),
        deps=(
            SAMPLES,
            *(f"artifacts/{kind}/{name}" for kind in ("students", "export", "quantize", "engine")),
            *(f"reports/metrics/{kind}/{name}.json" for kind in ("export", "quantize", "engine")),
        ),
        metrics=(f"reports/metrics/benchmark/{name}.json",),
    )


def _release(params: Params, name: str, run: RunParams) -> Stage:
    evaluated = dict.fromkeys((name, run.baseline, "teacher"))
    return Stage(
        script="release",
        run=name,
        settings={
            "run": run,
            "size": (params.export.height, params.export.width),
            "split": params.evaluation.split,
            "parity": params.parity,
            "release": params.release,
        },
        code=RUNNERS,
        deps=(
            CLASSES,
            SAMPLES,
            *(f"artifacts/{kind}/{name}" for kind in ("export", "quantize", "engine")),
            *(f"reports/metrics/evaluate/{other}.json" for other in evaluated),
            *(f"reports/metrics/{kind}/{name}.json" for kind in ("export", "quantize", "engine", "benchmark")),
        ),
        outs=(f"artifacts/release/{name}",),
        metrics=(f"reports/releases/{name}",),
    )


def _inspect(params: Params) -> Stage:
    return Stage(
        script="inspect",
        settings={"inspection": params.inspection, "evaluation": params.evaluation, "runs": params.runs},
        code=(*_network_code(params.teacher.network), *TORCH_RUNNERS.values()),
        deps=(
            CLASSES,
            "data/curated/decisions.csv",
            TEACHER,
            *(f"artifacts/evaluation/{name}" for name in ("teacher", *params.runs)),
        ),
        outs=("artifacts/inspection",),
    )


def _report(params: Params) -> Stage:
    of_each = [f"artifacts/{kind}/{name}" for kind in ("students", "evaluation", "release") for name in params.runs]
    kinds = ("evaluate", "export", "quantize", "engine", "benchmark")
    return Stage(
        script="report",
        settings={
            "report": params.report,
            "runs": params.runs,
            "split": params.evaluation.split,
            "view_samples": params.inspection.view_samples,
        },
        code=tuple(TARGETS.values()),
        deps=(
            CLASSES,
            "data/curated",
            TEACHER,
            "artifacts/evaluation/teacher",
            "artifacts/inspection",
            *of_each,
            "reports/metrics/evaluate/teacher.json",
            *(f"reports/metrics/{kind}/{name}.json" for kind in kinds for name in params.runs),
        ),
        outs=("reports/index.html", "reports/pictures"),
        metrics=("reports/summary.json",),
    )


def check_methods(params: Params) -> None:
    """Raise ParamsError if a setting of any method is unknown or out of range, whether a run uses it or not."""
    _run_methods(params, params.methods)


def _run_methods(params: Params, names: Collection[str]) -> Mapping[str, Any]:
    """Return the settings of the methods that a run uses, defaults included."""
    if not names:
        return {}
    from pipeline.distillation.parameters import run_methods  # imports torch

    return run_methods(names, params.methods)


def _student_code(params: Params, run: RunParams) -> tuple[str, ...]:
    """Return the entries of registries that a student's training uses."""
    teacher = _network_code(params.teacher.network) if run.has_teacher else ()
    return (*_network_code(run.network), *teacher, *(METHODS[name] for name in run.distill))


def _student_idle(run: RunParams) -> tuple[str, ...]:
    """Return the modules that training a student imports, but does not use for this run."""
    used = {
        "pipeline.distillation.objective": bool(run.distill),
        "pipeline.distillation.inheritance": run.inherit_layers,
        "pipeline.distillation.pruned": run.prune.prunes,
        "pipeline.distillation.unlabelled": bool(run.unlabelled_share),
        "pipeline.training.dot": bool(run.momentum_shift),
    }
    return tuple(module for module, is_used in used.items() if not is_used)


def _network_code(network: NetworkParams) -> tuple[str, ...]:
    return HEADS[network.architecture], _backbone_code(network.backbone)


def _backbone_code(backbone: str) -> str:
    return next(entry for pattern, entry in BACKBONES.items() if fnmatchcase(backbone, pattern))


def _evaluation(params: Params) -> dict[str, Any]:
    return {"evaluation": params.evaluation, "input_size": (params.export.height, params.export.width)}
