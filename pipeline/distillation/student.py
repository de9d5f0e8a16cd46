"""Train one student: alone (the baseline) or with the teacher's help."""

from pathlib import Path

import torch

from models.checkpoint import load_checkpoint
from models.folding import fold_batchnorms
from models.segmenter import Segmenter
from pipeline.data.classes import ClassTable
from pipeline.data.files import sha256
from pipeline.data.samples import UNLABELLED, read_samples
from pipeline.distillation import METHODS
from pipeline.distillation.dist import ComparesAuxiliaryHeads
from pipeline.distillation.inheritance import inherit_layers
from pipeline.distillation.objective import DistillationObjective
from pipeline.distillation.pruned import pruned_network
from pipeline.distillation.unlabelled import choose_unlabelled
from pipeline.errors import SegdistillError
from pipeline.params.methods import MethodsParams
from pipeline.params.runs import RunParams
from pipeline.params.training import TrainingParams
from pipeline.training.class_weights import balanced_classes
from pipeline.training.curve import write_curve
from pipeline.training.device import launch, precision_name
from pipeline.training.draws import training_draws
from pipeline.training.loop import fit
from pipeline.training.network import describe_weights, new_network, pretrained_backbone, save_network
from pipeline.training.objective import SupervisedObjective, Task
from pipeline.training.resume import fingerprint, scratch_folder


class TeacherMismatch(SegdistillError):
    """A teacher that was trained for other classes than the student."""


def train_student(
    name: str,
    run: RunParams,
    methods: MethodsParams,
    training: TrainingParams,
    classes: Path,
    samples: Path,
    statistics: Path,
    teacher: Path,
    source: Path,
    pretrained: Path,
    scratch: Path,
    out: Path,
) -> None:
    """Write out/checkpoint.safetensors (the student only) and out/training.csv.

    Args:
        source: checkpoint that the student is pruned from, if it is.
        pretrained: folder of stage pretrain, whose backbone the student begins with, if it does.

    Raises:
        SourceMismatch: the student is to be pruned from a network that is not of its kind.
        TeacherMismatch: as `student_objective`.
        NothingInherited: layers are to be inherited and none matches.
        SampleListError: unlabelled images are to be learned from and there are none.
        StatisticsError: classes are to be balanced and nobody counted them.
    """
    fabric = launch(training.devices, training.precision, training.deterministic)
    inputs = {"classes": sha256(classes), "samples": sha256(samples)}
    if run.has_teacher:
        inputs["teacher"] = sha256(teacher)
    if run.prune.prunes:
        inputs["source"] = sha256(source)
    if run.network.weights.source == "pretraining":
        inputs["pretrained"] = sha256(pretrained_backbone(pretrained))
    table = ClassTable.load(classes)
    weights = balanced_classes(statistics, table.names, training)
    identity = fingerprint(run=run, methods=methods, training=training, **inputs)
    if run.prune.prunes:
        torch.manual_seed(run.seed)  # as for a network from scratch
        segmenter, design = pruned_network(run.network, run.prune.keep, source, tuple(table.names))
        beginning = f"{100 * run.prune.keep:.0f} % of the channels of {run.prune.source}"
    else:
        segmenter, design = new_network(run.network, table, run.seed, pretrained)
        beginning = describe_weights(run.network.weights, pretrained)
    if run.inherit_layers:
        share = inherit_layers(segmenter, load_teacher(teacher, design.class_names))
        beginning += f"; then {100 * share:.1f} % of all parameters from the teacher"
    objective = student_objective(run, methods, Task.of(training, weights), segmenter, design.class_names, teacher)
    lessons = read_samples(samples, *training.splits)
    if run.unlabelled_share:
        lessons += choose_unlabelled(
            read_samples(samples, UNLABELLED),
            load_teacher(teacher, design.class_names),
            run.unlabelled_share,
            training.batch_size,
            fabric.device,
        )
    with scratch_folder(scratch, name, identity, fabric.is_global_zero) as folder:
        curve = fit(
            objective,
            training_draws(lessons, table, training, run.seed, scratch),
            training,
            fabric,
            name=name,
            iterations=run.iterations,
            learning_rate=run.learning_rate,
            momentum_shift=run.momentum_shift,
            scratch=folder,
        )
        facts = {
            "backbone_weights": beginning,
            "method": run.method,
            "precision": precision_name(training.precision, fabric),
        }
        if fabric.is_global_zero:
            write_curve(out / "training.csv", curve)
            save_network(segmenter, design, facts, out / "checkpoint.safetensors")


def student_objective(
    run: RunParams,
    methods: MethodsParams,
    task: Task,
    segmenter: Segmenter,
    class_names: tuple[str, ...],
    teacher: Path,
) -> SupervisedObjective:
    """What the student of a run minimizes.

    Raises:
        TeacherMismatch: the teacher's classes are not `class_names`.
    """
    if not run.distill:
        return SupervisedObjective(segmenter, task)
    frozen = fold_batchnorms(load_teacher(teacher, class_names))
    torch.manual_seed(run.seed)  # the methods' own weights; the student's were drawn before, equal to the baseline's
    chosen = {name: METHODS[name](methods, segmenter, frozen) for name in run.distill}
    if not any(isinstance(method, ComparesAuxiliaryHeads) for method in chosen.values()):
        frozen.auxiliary_head = None  # else it would run in every iteration for nobody
    return DistillationObjective(segmenter, frozen, chosen, run.distill, task)


def load_teacher(path: Path, class_names: tuple[str, ...]) -> Segmenter:
    """The teacher of a checkpoint.

    Raises:
        TeacherMismatch: its classes are not `class_names`.
    """
    teacher, design, _ = load_checkpoint(path)
    if design.class_names != class_names:
        raise TeacherMismatch(
            f"{path} was trained for {len(design.class_names)} classes {list(design.class_names)}, "
            f"the dataset has {len(class_names)}: {list(class_names)}; train the teacher on this dataset"
        )
    return teacher
