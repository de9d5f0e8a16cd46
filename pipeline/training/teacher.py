"""Train the teacher: supervised."""

from pathlib import Path

from pipeline.data.classes import ClassTable
from pipeline.data.files import sha256
from pipeline.data.samples import read_samples
from pipeline.params.runs import TeacherParams
from pipeline.params.training import TrainingParams
from pipeline.training.class_weights import balanced_classes
from pipeline.training.curve import write_curve
from pipeline.training.device import launch, precision_name
from pipeline.training.draws import training_draws
from pipeline.training.loop import fit
from pipeline.training.network import describe_weights, new_network, save_network
from pipeline.training.objective import SupervisedObjective, Task
from pipeline.training.resume import fingerprint, scratch_folder


def train_teacher(
    teacher: TeacherParams,
    training: TrainingParams,
    classes: Path,
    samples: Path,
    statistics: Path,
    scratch: Path,
    out: Path,
) -> None:
    """Write out/checkpoint.safetensors and out/training.csv.

    Raises:
        StatisticsError: classes are to be balanced and nobody counted them.
    """
    fabric = launch(training.devices, training.precision, training.deterministic)
    table = ClassTable.load(classes)
    weights = balanced_classes(statistics, table.names, training)
    identity = fingerprint(teacher=teacher, training=training, classes=sha256(classes), samples=sha256(samples))
    segmenter, design = new_network(teacher.network, table, teacher.seed)
    with scratch_folder(scratch, "teacher", identity, fabric.is_global_zero) as folder:
        curve = fit(
            SupervisedObjective(segmenter, Task.of(training, weights)),
            training_draws(read_samples(samples, *training.splits), table, training, teacher.seed, scratch),
            training,
            fabric,
            name="teacher",
            iterations=teacher.iterations,
            learning_rate=teacher.learning_rate,
            momentum_shift=0.0,
            scratch=folder,
        )
        facts = {
            "backbone_weights": describe_weights(teacher.network.weights),
            "method": "none",
            "precision": precision_name(training.precision, fabric),
        }
        if fabric.is_global_zero:
            write_curve(out / "training.csv", curve)
            save_network(segmenter, design, facts, out / "checkpoint.safetensors")
