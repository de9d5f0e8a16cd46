"""One training of a comparison and its judgment, each in a record that says whether it still holds."""

import csv
import hashlib
import inspect
import json
import shutil
import time
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import asdict, replace
from pathlib import Path
from statistics import median
from typing import Any

import torch

from pipeline.comparison.code import ROOT, closure, digest
from pipeline.comparison.cost import count_cost
from pipeline.comparison.plan import Places, Trial
from pipeline.data.classes import ClassTable
from pipeline.data.files import sha256, write_json
from pipeline.distillation.student import student_objective, train_student
from pipeline.measure.energy import gpu_joules
from pipeline.measure.evaluate import RunFacts, evaluate_checkpoint
from pipeline.measure.machine import machine_record, peak_memory_bytes
from pipeline.params import Params, Split
from pipeline.training.device import best_device
from pipeline.training.network import new_network, pretrained_backbone
from pipeline.training.objective import SupervisedObjective, Task

TABLE_OF_METHODS = ROOT / "pipeline/distillation/__init__.py"  # names, no numbers: another method changes no trial
JUDGE = ROOT / "pipeline/measure/evaluate.py"
STUDENT = ROOT / "pipeline/distillation/student.py"


def is_finished(trial: Trial, params: Params, split: Split, places: Places) -> bool:
    """Whether nothing that the judged trial depends on has changed: parameters, data, teacher, code."""
    return _is_trained(trial, params, places) and _is_judged(trial, params, split, places)


def run_trial(trial: Trial, params: Params, split: Split, places: Places, log: Path) -> None:
    """Train the student and judge it on `split`, or what of it is still to do; what they print goes to `log`.

    Meant for a process of its own, whose largest memory is then this training's.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as text, redirect_stdout(text), redirect_stderr(text):
        folder = places.runs / trial.name
        if not _is_trained(trial, params, places):
            shutil.rmtree(folder, ignore_errors=True)
            _train(trial, params, places)
        if not _is_judged(trial, params, split, places):
            _judge(trial, params, split, places)


def _train(trial: Trial, params: Params, places: Places) -> None:
    folder = places.runs / trial.name
    begun, joules_before = time.monotonic(), gpu_joules()
    train_student(
        name=trial.name,
        run=trial.run,
        methods=params.methods,
        training=replace(params.training, devices=1),  # trials are compared by time and memory of one device
        classes=places.classes,
        samples=places.samples,
        statistics=places.statistics,
        teacher=places.teacher,
        source=places.teacher,  # none of them is pruned
        pretrained=places.pretrained,
        scratch=places.scratch,
        out=folder,
    )
    joules, seconds = gpu_joules(), time.monotonic() - begun
    peak = peak_memory_bytes()  # before anything else takes memory
    gpu_peak = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None
    objective = _fresh_objective(trial, params, places)
    with (folder / "training.csv").open(newline="") as file:
        curve = list(csv.DictReader(file))
    code = sorted(str(path.relative_to(ROOT)) for path in _code_of(objective))
    write_json(
        folder / "trained.json",
        {
            "inputs": _training_inputs(trial, params, places),
            "code": {"files": code, "digest": digest(code)},
            "seconds_per_iteration": 1 / median(float(row["iterations_per_s"]) for row in curve),
            "peak_memory_bytes": peak,
            "gpu_peak_memory_bytes": gpu_peak,
            # Power, not energy: a training that was interrupted shows its last part only.
            "gpu_watts": None if joules is None or joules_before is None else (joules - joules_before) / seconds,
            "agreement": float(curve[-1]["agreement"]) if "agreement" in curve[-1] else None,
            "cost": count_cost(objective, params.training.crop_height, params.training.crop_width)._asdict(),
            "machine": machine_record(),
        },
    )


def _judge(trial: Trial, params: Params, split: Split, places: Places) -> None:
    folder = places.runs / trial.name
    facts = RunFacts(name=trial.name, method=trial.run.method, weights=trial.run.distill, seed=trial.run.seed)
    evaluate_checkpoint(
        facts,
        replace(params.evaluation, split=split),
        input_size=(params.export.height, params.export.width),
        classes=places.classes,
        samples=places.samples,
        checkpoint=folder / "checkpoint.safetensors",
        out=folder / split,
        metrics=folder / split / "metrics.json",
    )
    write_json(folder / split / "judged.json", {"inputs": _judging_inputs(params, split)})


def _is_trained(trial: Trial, params: Params, places: Places) -> bool:
    record = _record(places.runs / trial.name / "trained.json")
    return (
        bool(record)  # without one there is nothing to hash a teacher for
        and record.get("inputs") == _training_inputs(trial, params, places)
        and digest(record["code"]["files"]) == record["code"]["digest"]
    )


def _is_judged(trial: Trial, params: Params, split: Split, places: Places) -> bool:
    record = _record(places.runs / trial.name / split / "judged.json")
    return record.get("inputs") == _judging_inputs(params, split)


def _training_inputs(trial: Trial, params: Params, places: Places) -> str:
    used: dict[str, object] = {name: asdict(getattr(params.methods, name)) for name in trial.run.distill}
    # The teacher for the baseline too: it stands for the images, whose bytes the sample list does not have.
    files = [sha256(file) for file in (places.classes, places.samples, places.teacher)]
    if trial.run.network.weights.source == "pretraining":
        files.append(sha256(pretrained_backbone(places.pretrained)))
    return _short_hash(asdict(trial.run), used, asdict(params.training), files)


def _judging_inputs(params: Params, split: Split) -> str:
    code = digest(str(path.relative_to(ROOT)) for path in closure(JUDGE))
    return _short_hash(asdict(params.evaluation), split, [params.export.height, params.export.width], code)


def _short_hash(*determinants: object) -> str:
    return hashlib.sha256(json.dumps(determinants, sort_keys=True).encode()).hexdigest()[:16]


def _record(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text()) if path.is_file() else {}


def _fresh_objective(trial: Trial, params: Params, places: Places) -> SupervisedObjective:
    """As the training had it at its beginning."""
    segmenter, design = new_network(
        trial.run.network, ClassTable.load(places.classes), trial.run.seed, places.pretrained
    )
    objective = student_objective(
        trial.run, params.methods, Task.of(params.training, None), segmenter, design.class_names, places.teacher
    )
    return objective.to(best_device())


def _code_of(objective: SupervisedObjective) -> set[Path]:
    """Our files that this training ran: the student's, and of the methods' those of the modules at work."""
    entries = {STUDENT, *(Path(inspect.getfile(type(module))) for module in objective.modules())}
    ours = {path for path in entries if ROOT in path.parents and ".venv" not in path.parts}
    beyond = frozenset({TABLE_OF_METHODS, *(ROOT / "pipeline/params").glob("*.py")})
    return set().union(*(closure(path, beyond) for path in ours))
