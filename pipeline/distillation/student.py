"""Train one network: alone (the teacher, a baseline) or with the teacher's help."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from models.build import Design
from models.checkpoint import save_checkpoint
from models.segmenter import Segmenter
from pipeline.data.classes import ClassTable
from pipeline.data.crops import CropDataset, crop_dataset
from pipeline.data.files import replacing
from pipeline.data.samples import UNLABELLED, read_samples
from pipeline.distillation.inheritance import inherit_layers
from pipeline.distillation.objective import DistillationObjective, distillation_objective
from pipeline.distillation.pruned import pruned_network
from pipeline.distillation.unlabelled import choose_unlabelled
from pipeline.params.runs import RunParams
from pipeline.params.training import TrainingParams
from pipeline.training.device import device_facts
from pipeline.training.fabric import Fabric, describe_precision, launch, make_loggers
from pipeline.training.finished import note_result
from pipeline.training.loop import Curve, fit, write_curve
from pipeline.training.network import new_network, pretrained_backbone, trained_network
from pipeline.training.objective import SupervisedObjective, Task, load_class_weights
from pipeline.training.preview import write_preview
from pipeline.training.resume import scratch_folder, training_identity
from pipeline.training.validation import Validation

PREVIEW, CHECKPOINT = "preview.png", "checkpoint.safetensors"


def train_student(
    name: str, run: RunParams, methods: Mapping[str, Any], training: TrainingParams, code: str,
    classes: Path, samples: Path, statistics: Path, scratch: Path, out: Path,
    teacher: Path = Path(), source: Path = Path(), pretrained: Path = Path(),
) -> None:  # fmt: skip
    """Write out/checkpoint.safetensors (this network only) and out/training.csv.

    With training.validate_every, also write out/validation.csv and the weights that training.checkpoint does not
    choose: out/best.safetensors or out/last.safetensors. A method that is trained before the student adds
    out/training_METHOD.csv.

    Args:
        methods: `Params` of each method of the run, by name.
        code: digest of the running code; an unfinished training of other code is not resumed.
        teacher, source: checkpoints of the teacher and of the network to prune, if the run has them.
        pretrained: folder of stage pretrain, if the network starts with its backbone.
    """
    loggers = make_loggers(training.loggers, name, scratch)
    fabric = launch(training.devices, training.precision, training.deterministic, loggers)
    identity = student_identity(run, methods, training, code, classes, samples, teacher, source, pretrained)
    identity |= device_facts(training.precision, fabric.device.type)
    table = ClassTable.load(classes)
    task = Task.of(training, load_class_weights(statistics, table.names, training))
    segmenter, design, beginning = _new_student(run, table, teacher, source, pretrained)
    objective = student_objective(run, methods, task, segmenter, design.class_names, teacher)
    train_samples = read_samples(samples, *training.splits)
    if run.unlabelled_share:
        unlabelled = read_samples(samples, UNLABELLED)
        judge, _ = trained_network(teacher, design.class_names)
        train_samples += choose_unlabelled(unlabelled, judge, run.unlabelled_share, training.batch_size, fabric.device)
    shown = next(iter([*read_samples(samples, "val"), *train_samples]))
    with scratch_folder(scratch, name, identity, fabric.is_global_zero) as folder:
        fabric.print(f"{name}: {folder / PREVIEW} shows an image, its label and the prediction so far")
        crops = crop_dataset(train_samples, table, training, run.seed, scratch)
        before = prepare_methods(objective, crops, training, fabric, name, run.iterations, folder)
        validation = None
        if every := training.validate_every:
            validation = Validation(segmenter, read_samples(samples, "val"), table, every, folder)
        curve = fit(
            objective, crops, training, fabric, name=name, iterations=run.iterations,
            learning_rate=run.learning_rate, momentum_shift=run.momentum_shift, scratch=folder, validation=validation,
            on_save=partial(write_preview, segmenter, shown, table, folder / PREVIEW),
        )  # fmt: skip
        precision = describe_precision(training.precision, fabric)
        facts = {"backbone_weights": beginning, "method": run.method, "precision": precision}
        if fabric.is_global_zero:
            write_curve(out / "training.csv", curve)
            for method, learned in before.items():
                write_curve(out / f"training_{method}.csv", learned)
            takes_last = training.checkpoint == "last"
            with replacing(out / (CHECKPOINT if takes_last else "last.safetensors")) as temporary:
                save_checkpoint(segmenter.cpu(), design, facts, temporary)
            if validation:
                validation.write(out / "validation.csv")
                best = facts | {"chosen": validation.in_words}
                path = out / ("best.safetensors" if takes_last else CHECKPOINT)
                with validation.best_weights(), replacing(path) as temporary:
                    save_checkpoint(segmenter, design, best, temporary)
            note_result(folder, out)
            for logger in loggers:
                logger.finalize("success")


def prepare_methods(
    objective: SupervisedObjective, crops: CropDataset, training: TrainingParams, fabric: Fabric,
    name: str, iterations: int, scratch: Path,
) -> dict[str, Curve]:  # fmt: skip
    """Train the methods that need it before the student, and freeze them; resume from `scratch`.

    `iterations` are those of the student. Returns the curve of each such method.
    """
    curves = {}
    if not isinstance(objective, DistillationObjective):
        return curves
    for method, preparation in objective.preparations().items():
        curves[method] = fit(
            preparation.objective, crops, training, fabric, name=f"{name} {method}",
            iterations=max(1, round(preparation.iterations_share * iterations)),
            learning_rate=preparation.learning_rate, scratch=scratch / method,
        )  # fmt: skip
        preparation.objective.requires_grad_(False).zero_grad()  # a gradient left here would be clipped with others
    return curves


def student_identity(
    run: RunParams, methods: Mapping[str, Any], training: TrainingParams, code: str,
    classes: Path, samples: Path, teacher: Path, source: Path, pretrained: Path,
) -> dict[str, Any]:  # fmt: skip
    """Return all that determines a student, except the device; of the files, only those that the run uses."""
    files = dict[str, Path]()
    if run.has_teacher:
        files["teacher"] = teacher
    if run.prune.prunes:
        files["source"] = source
    if run.network.weights.source == "pretraining":
        files["pretrained"] = pretrained_backbone(pretrained)
    settings = {"run": replace(run, baseline=""), "methods": methods, "training": training}
    return training_identity(code, classes, samples, files, **settings)


def student_objective(
    run: RunParams, methods: Mapping[str, Any], task: Task,
    segmenter: Segmenter, class_names: tuple[str, ...], teacher: Path,
) -> SupervisedObjective:  # fmt: skip
    """Build the objective of a run's student; raise ArtifactError if the teacher's classes are not `class_names`."""
    if not run.distill:
        return SupervisedObjective(segmenter, task)
    return distillation_objective(segmenter, trained_network(teacher, class_names)[0], run, methods, task)


def _new_student(
    run: RunParams, table: ClassTable, teacher: Path, source: Path, pretrained: Path
) -> tuple[Segmenter, Design, str]:
    """Build the untrained student; return it, its design, and in words where its weights come from."""
    if run.prune.prunes:
        torch.manual_seed(run.seed)  # as for a network from scratch
        segmenter, design = pruned_network(run.network, run.prune.keep, source, tuple(table.names))
        weights = f"{100 * run.prune.keep:.0f} % of the channels of {run.prune.source}"
    else:
        segmenter, design, weights = new_network(run.network, table, run.seed, pretrained)
    if run.inherit_layers:
        share = inherit_layers(segmenter, trained_network(teacher, design.class_names)[0])
        weights += f"; then {100 * share:.1f} % of all parameters from the teacher"
    return segmenter, design, weights
