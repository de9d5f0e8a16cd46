"""Train the teacher: supervised."""

from pathlib import Path

from pipeline.data.classes import ClassTable
from pipeline.data.crops import crop_dataset
from pipeline.data.samples import read_samples
from pipeline.params.runs import TeacherParams
from pipeline.params.training import TrainingParams
from pipeline.training.device import describe_precision, device_facts, launch
from pipeline.training.loop import fit, write_curve
from pipeline.training.network import describe_weights, new_network, save_network
from pipeline.training.objective import SupervisedObjective, Task, load_class_weights
from pipeline.training.resume import scratch_folder, training_identity


def train_teacher(
    teacher: TeacherParams, training: TrainingParams, code: str,
    classes: Path, samples: Path, statistics: Path, scratch: Path, out: Path,
) -> None:  # fmt: skip
    """Write out/checkpoint.safetensors and out/training.csv.

    Args:
        code: digest of the code at work; an unfinished training of other code is not resumed.

    Raises:
        ArtifactError: classes are to be balanced and nobody counted them.
    """
    fabric = launch(training.devices, training.precision, training.deterministic)
    table = ClassTable.load(classes)
    weights = load_class_weights(statistics, table.names, training)
    device = device_facts(training.precision, fabric.device.type)
    files = {"classes": classes, "samples": samples}
    identity = training_identity(code, files, teacher=teacher, training=training, **device)
    segmenter, design = new_network(teacher.network, table, teacher.seed)
    with scratch_folder(scratch, "teacher", identity, fabric.is_global_zero) as folder:
        curve = fit(
            SupervisedObjective(segmenter, Task.of(training, weights)),
            crop_dataset(read_samples(samples, *training.splits), table, training, teacher.seed, scratch),
            training, fabric, name="teacher", iterations=teacher.iterations, learning_rate=teacher.learning_rate,
            scratch=folder,
        )  # fmt: skip
        precision = describe_precision(training.precision, fabric)
        facts = {
            "backbone_weights": describe_weights(teacher.network.weights), "method": "none", "precision": precision
        }  # fmt: skip
        if fabric.is_global_zero:
            write_curve(out / "training.csv", curve)
            save_network(segmenter, design, facts, out / "checkpoint.safetensors")
