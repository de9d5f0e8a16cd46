"""All stages of a profile in one table: their parameters, the files that they read and write, and their code.

`dvc.yaml` and `artifacts/resolved.json` are written from this table, and each stage gets its arguments from it. So no
stage can read a parameter that DVC does not track.
"""

import argparse
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from models import BACKBONES, HEADS
from pipeline.cli import run_command
from pipeline.code_digest import closure, digest
from pipeline.curation import RULE_MODULES
from pipeline.data.samples import SOURCE
from pipeline.distillation import METHODS
from pipeline.errors import ParamsError
from pipeline.params.runs import NO_TEACHER, RunParams
from pipeline.params.sections import nearest
from pipeline.params.training import NetworkParams
from pipeline.params.tree import Params, load_params
from pipeline.preparation import ADAPTERS
from pipeline.runtime import TORCH_RUNNERS
from pipeline.training.finished import drop_known
from segdistill_runtime.targets import TARGETS

SCRIPTS = (
    "prepare", "curate", "preflight", "pretrain", "teacher",
    "student", "evaluate", "export", "quantize", "engine", "benchmark", "release",
    "inspect", "report",
)  # fmt: skip
"""Modules in stages/, in the order in which they run."""
OF_RUNS = SCRIPTS[5:12]
"""These stages run once for each run; evaluate also runs for the teacher."""

CLASSES, SAMPLES, STATISTICS = "data/prepared/classes.json", "data/curated/samples.csv", "data/curated/statistics.json"
DATA = {"classes": CLASSES, "samples": SAMPLES}
TEACHER, TEACHER_CHECKPOINT = "artifacts/teacher", "artifacts/teacher/checkpoint.safetensors"
PREFLIGHT = "artifacts/preflight.json"  # every training needs it
CHECKED = ("runs", "methods", "training", "pretraining", "evaluation", "export", "quantization")
UNCHECKED = {"baseline", "iterations", "learning_rate", "seed"}  # keys of a run that preflight does not check
PRETRAINED, SCRATCH = "artifacts/pretraining", Path("scratch")
WHOLE = re.compile(r"artifacts/(teacher|pretraining|[^/]+/[^/]+)")
"""For a file among the artifacts, DVC tracks the whole folder that a stage wrote."""
KEPT_BY_GIT = ("reports/metrics/", "reports/releases/", "reports/summary.json")
"""Small files; all other outputs go into DVC's cache."""

TORCH = tuple(TORCH_RUNNERS.values())
RUNNERS = (*TORCH, *TARGETS.values())


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage, or one run's part of it."""

    script: str  # one of SCRIPTS
    run: str = ""
    settings: Mapping[str, Any]  # all parameters that it reads, by argument of its entry function
    untracked: Mapping[str, Any] = field(default_factory=dict)  # keys in settings that change nothing here
    code: tuple[str, ...] = ()  # entries of registries that it uses
    idle: tuple[str, ...] = ()  # modules that it imports, but does not use with these settings
    resumes: bool = False  # it continues a state in scratch that the same code wrote
    reads: Mapping[str, str] = field(default_factory=dict)  # paths by argument; empty if this run does not need it
    writes: Mapping[str, str] = field(default_factory=dict)  # paths by argument
    places: Mapping[str, str] = field(default_factory=dict)  # scratch, or folders of the paths below, by argument
    also_reads: tuple[str, ...] = ()  # further paths, without an argument
    also_writes: tuple[str, ...] = ()  # further paths, without an argument

    @property
    def name(self) -> str:
        return f"{self.script}-{self.run}" if self.run else self.script

    @property
    def code_digest(self) -> str:
        return digest(closure([f"stages.{self.script}", *self.code], self.idle))

    def arguments(self, groups: Mapping[str, type]) -> dict[str, Any]:
        """Return the arguments of its entry function.

        Args:
            groups: records that hold several arguments, by their own argument; their fields have the arguments' names.
        """
        name = {"name": self.run} if self.run else {}
        state = {"code": self.code_digest, "scratch": SCRATCH} if self.resumes else {}
        paths = {argument: Path(path) for argument, path in {**self.reads, **self.writes, **self.places}.items()}
        found = {**name, **state, **self.settings, **paths}
        return {
            group: kind(**{key: found.pop(key) for key in kind.__annotations__}) for group, kind in groups.items()
        } | found

    @property
    def deps(self) -> list[str]:
        paths = [path for path in (*self.reads.values(), *self.also_reads) if path]
        return list(dict.fromkeys(found[0] if (found := WHOLE.match(path)) else path for path in paths))

    @property
    def outs(self) -> list[str]:
        return [path for path in (*self.writes.values(), *self.also_writes) if not path.startswith(KEPT_BY_GIT)]

    @property
    def metrics(self) -> list[str]:
        return [path for path in (*self.writes.values(), *self.also_writes) if path.startswith(KEPT_BY_GIT)]


def run_stage(script: str, entry: Callable[..., None], description: str | None, **groups: type) -> None:
    """Call a stage's entry function with its arguments from the table; the command line names the run."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    if script in OF_RUNS:
        parser.add_argument("run", help="a key of `runs` in params.yaml; for stage evaluate also `teacher`")
    run = vars(parser.parse_args()).get("run", "")
    drop_known(SCRATCH, Path("dvc.lock"))
    run_command(lambda: entry(**load_stage(script, run).arguments(groups)), script)


def load_stage(script: str, run: str) -> Stage:
    """Return a stage of the profile in the working directory; raise ParamsError if it has no such run."""
    params = load_params()
    if script in OF_RUNS and run in params.runs:  # the whole table would import other runs' methods
        return run_stages(params, run, params.runs[run], script)[script]
    stages = {(stage.script, stage.run): stage for stage in shared_stages(params)}
    if (script, run) not in stages:
        hint = nearest(run, params.runs)
        raise ParamsError(f"stage {script} has no run {run!r}{hint}; it has {', '.join(params.runs) or 'none'}")
    return stages[script, run]


def stage_table(params: Params) -> list[Stage]:
    """Return the stages in the order in which they run."""
    of_runs = [stage for name, run in params.runs.items() for stage in run_stages(params, name, run).values()]
    return sorted([*shared_stages(params), *of_runs], key=lambda stage: SCRIPTS.index(stage.script))


def shared_stages(params: Params) -> list[Stage]:
    """Return the stages that do not belong to a run."""
    source, teacher, pretraining, runs = params.dataset.source, params.teacher, params.pretraining, params.runs
    as_run = params.teacher_run
    training_splits = [*dict.fromkeys(params.training.splits + params.teacher_training.splits)]
    pretrain = Stage(
        script="pretrain",
        settings=_sections(params, "pretraining", "training"),
        code=(_backbone_code(pretraining.backbone), _backbone_code(pretraining.classifier.backbone)),
        resumes=True,
        reads=DATA,
        also_reads=(PREFLIGHT,),
        writes={"out": PRETRAINED},
    )
    networks = [teacher.network, *(run.network for run in runs.values())]
    made = ("students", "evaluation", "release")
    measured = ("evaluate", "export", "quantize", "engine", "benchmark")
    return [
        Stage(
            script="prepare",
            settings=_sections(params, "dataset"),
            code=(ADAPTERS[params.dataset.adapter],),
            also_reads=(source,),
            writes={"out": "data/prepared"},
            places={"scratch": "scratch"},
        ),
        Stage(
            script="curate",
            settings=_sections(params, "curation") | {"source": Path(source), "training_splits": training_splits},
            code=RULE_MODULES,
            reads={"prepared": "data/prepared", "review": "review.csv"},
            writes={"out": "data/curated", "report": "reports/curation.md", "pictures": "reports/curation"},
            places={"scratch": "scratch"},
        ),
        Stage(
            script="preflight",
            settings={"teacher": as_run, "teacher_training": params.teacher_training, **_sections(params, *CHECKED)},
            untracked={"teacher": UNCHECKED, "runs": dict.fromkeys(runs, UNCHECKED)},
            code=(
                *chain(*map(_network_code, networks)),
                *(METHODS[name] for run in runs.values() for name in run.distill),
            ),
            reads={**DATA, "statistics": STATISTICS},
            writes={"out": PREFLIGHT},
            places={"artifacts": "artifacts", "scratch": "scratch"},
        ),
        *([pretrain] if pretraining.iterations else []),
        Stage(
            script="teacher",
            settings={"name": "teacher", "run": as_run, "methods": {}, "training": params.teacher_training},
            untracked={"run": {"baseline"}},
            code=_network_code(teacher.network),
            idle=_idle(as_run),
            resumes=True,
            reads={**DATA, "statistics": STATISTICS},
            also_reads=(PREFLIGHT,),
            writes={"out": TEACHER},
        ),
        _evaluate(params, "teacher", TEACHER, teacher.network, method=NO_TEACHER, weights={}, seed=teacher.seed),
        Stage(
            script="inspect",
            settings={**_sections(params, "inspection", "evaluation", "runs"), "resizing": params.export.resizing},
            code=(*_network_code(teacher.network), *TORCH),
            reads={"classes": CLASSES, "decisions": "data/curated/decisions.csv", "checkpoint": TEACHER_CHECKPOINT},
            also_reads=(f"data/curated/{SOURCE}", *(f"artifacts/evaluation/{name}" for name in ("teacher", *runs))),
            writes={"out": "artifacts/inspection"},
            places={"evaluated": "artifacts/evaluation"},
        ),
        Stage(
            script="report",
            settings={
                **_sections(params, "report", "runs"),
                "split": params.evaluation.split,
                "view_samples": params.inspection.view_samples,
            },
            code=tuple(TARGETS.values()),
            also_reads=(
                *(CLASSES, "data/curated", TEACHER, "artifacts/evaluation/teacher", "artifacts/inspection"),
                *(f"artifacts/{kind}/{name}" for kind in made for name in runs),
                "reports/metrics/evaluate/teacher.json",
                *(f"reports/metrics/{script}/{name}.json" for script in measured for name in runs),
            ),
            also_writes=("reports/index.html", "reports/pictures", "reports/summary.json"),
            places={
                "prepared": "data/prepared",
                "curated": "data/curated",
                "metrics": "reports/metrics",
                "out": "reports",
            }
            | {kind: f"artifacts/{kind}" for kind in ("teacher", "inspection", *made)},
        ),
    ]


def run_stages(params: Params, name: str, run: RunParams, script: str = "") -> dict[str, Stage]:
    """Return the stages of one run by script; with `script`, methods are imported only if that one trains."""
    of_run, sections = partial(Stage, run=name), partial(_sections, params)
    split, resizing = {"split": params.evaluation.split}, {"resizing": params.export.resizing}
    network = _network_code(run.network)
    teacher_network = _network_code(params.teacher.network) if run.has_teacher else ()
    training_code = (*network, *teacher_network, *(METHODS[method] for method in run.distill))
    idle = _idle(run)
    teacher = TEACHER_CHECKPOINT if run.has_teacher else ""
    fine_tunes = bool(params.quantization.fine_tuning.iterations)
    trains = script in ("", "student") or (script == "quantize" and fine_tunes)
    methods = method_settings(params, run.distill) if trains else {}
    training = {"run": run, "methods": methods, "training": run.own_training(params.training)}

    made = {kind: f"artifacts/{kind}/{name}" for kind in ("students", "evaluation", *OF_RUNS)}
    measured = {script: f"reports/metrics/{script}/{name}.json" for script in OF_RUNS}
    checkpoint, predictions = f"{made['students']}/checkpoint.safetensors", f"{made['evaluation']}/predictions"
    graphs = {script: made[script] for script in ("export", "quantize")}
    metrics_of_graphs = {f"{script}_metrics": measured[script] for script in graphs}
    evaluated = dict.fromkeys((name, run.baseline, "teacher"))
    stages = [
        of_run(
            script="student",
            settings=training,
            untracked={"run": {"baseline"}},
            code=training_code,
            idle=idle,
            resumes=True,
            reads={
                **DATA,
                "statistics": STATISTICS,
                "teacher": teacher,
                "source": f"artifacts/{run.prune.source}/checkpoint.safetensors" if run.prune.prunes else "",
                "pretrained": PRETRAINED if run.network.weights.source == "pretraining" else "",
            },
            also_reads=(PREFLIGHT,),
            writes={"out": made["students"]},
        ),
        _evaluate(params, name, made["students"], run.network, method=run.method, weights=run.distill, seed=run.seed),
        of_run(
            script="export",
            settings={**sections("export", "parity"), **split},
            untracked={"parity": {"engine_fp32", "int8"}},
            code=(*network, *RUNNERS),
            reads={**DATA, "checkpoint": checkpoint, "predictions": predictions},
            writes={"out": made["export"], "metrics": measured["export"]},
        ),
        of_run(
            script="quantize",
            settings={**training, **sections("quantization", "parity", "export"), **split},
            untracked={"run": {"baseline"}, "parity": {"engine_fp32", "onnx_fp32", "fp16"}},
            code=(*training_code, *RUNNERS),
            idle=idle,
            resumes=True,
            reads={
                **DATA,
                "statistics": STATISTICS if fine_tunes else "",
                "teacher": teacher if fine_tunes else "",
                "checkpoint": checkpoint,
                "predictions": predictions,
                "graph": f"{made['export']}/model.onnx",
            },
            writes={"out": made["quantize"], "metrics": measured["quantize"]},
        ),
        of_run(
            script="engine",
            settings={**sections("engine", "parity"), **resizing, **split},
            code=RUNNERS,
            reads={**DATA, "predictions": predictions, **graphs, **metrics_of_graphs},
            writes={"out": made["engine"], "metrics": measured["engine"]},
            places={"scratch": "scratch/engine"},
        ),
        of_run(
            script="benchmark",
            settings={**sections("benchmark"), **resizing, "other_shapes": params.export.other_shapes, **split},
            code=(*network, *RUNNERS),
            reads={"samples": SAMPLES, "checkpoint": checkpoint, **graphs, "engine": made["engine"]}
            | {**metrics_of_graphs, "engine_metrics": measured["engine"]},
            writes={"metrics": measured["benchmark"]},
        ),
        of_run(
            script="release",
            settings={"run": run, **resizing, **split, **sections("parity", "release")},
            code=RUNNERS,
            reads={**DATA, **graphs, "engines": made["engine"]},
            also_reads=(
                *(f"reports/metrics/evaluate/{other}.json" for other in evaluated),
                *(*metrics_of_graphs.values(), measured["engine"], measured["benchmark"]),
            ),
            writes={"out": made["release"], "reports": f"reports/releases/{name}"},
            places={"metrics": "reports/metrics", "lock": "dvc.lock"},
        ),
    ]
    return {stage.script: stage for stage in stages}


def _evaluate(params: Params, name: str, folder: str, network: NetworkParams, **trained: Any) -> Stage:
    return Stage(
        script="evaluate",
        run=name,
        settings={"evaluation": params.evaluation, "resizing": params.export.resizing, **trained},
        code=(*_network_code(network), *TORCH),
        reads={**DATA, "checkpoint": f"{folder}/checkpoint.safetensors"},
        writes={"out": f"artifacts/evaluation/{name}", "metrics": f"reports/metrics/evaluate/{name}.json"},
    )


def _sections(params: Params, *names: str) -> dict[str, Any]:
    return {name: getattr(params, name) for name in names}


def method_settings(params: Params, names: Collection[str]) -> Mapping[str, Any]:
    """Return the settings of distillation methods with defaults; raise ParamsError if one is unknown or wrong."""
    if not names:
        return {}
    from pipeline.distillation.method import run_methods  # imports torch

    return run_methods(names, params.methods)


def _idle(run: RunParams) -> tuple[str, ...]:
    """Return the modules that training imports but does not use for this run."""
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
