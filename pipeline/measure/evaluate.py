"""Measure the accuracy of a checkpoint on whole images of one split."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.progress import track

from models.checkpoint import load_checkpoint
from pipeline.data.classes import ClassTable
from pipeline.data.dataset import evaluation_batches
from pipeline.data.files import replacing, write_csv
from pipeline.data.images import read_labels, read_mask, write_mask
from pipeline.data.samples import Sample, read_samples
from pipeline.measure.accuracy import ConfusionMatrix
from pipeline.measure.cost import deployed_parameters, multiply_accumulates
from pipeline.params.deployment import EvaluationParams
from pipeline.records.evaluation import Evaluation
from pipeline.records.files import write_record
from pipeline.runtime.artifacts import open_artifact
from pipeline.threads import available_threads
from segdistill_runtime.images import Resizing
from segdistill_runtime.runner import Runner


def evaluate_checkpoint(
    name: str,
    method: str,
    weights: Mapping[str, float],
    seed: int,
    evaluation: EvaluationParams,
    resizing: Resizing,
    classes: Path,
    samples: Path,
    checkpoint: Path,
    out: Path,
    metrics: Path,
) -> None:
    """Write predictions, confusion matrix and one row for each image into `out`, and `metrics` as JSON.

    Args:
        method: distillation method of the network, `none` for a baseline and for the teacher.
        weights: weight of each method's loss.
        resizing: resizing of the exported graphs. The network gets each image as the deployed model does, and its
            labels are compared at the image's own size. Multiply-accumulates are counted at the graphs' size.
    """
    table = ClassTable.load(classes)
    chosen = read_samples(samples, evaluation.split)
    with open_artifact(checkpoint, available_threads()) as runner:
        predict(runner, resizing, chosen, evaluation.batch_size, out / "predictions", name)
    confusion, per_image = score_predictions(chosen, out / "predictions", table)

    segmenter, design, recorded = load_checkpoint(checkpoint)
    iou, predicted = confusion.iou_per_class(), confusion.counts.sum(axis=0)
    named = ([name, *counts] for name, counts in zip(table.names, confusion.counts.tolist(), strict=True))
    write_csv(out / "confusion.csv", [["label", *table.names], *named])
    write_csv(out / "per_image.csv", [["id", "miou", "pixel_accuracy"], *per_image])
    evaluation_record = Evaluation(
        name=name,
        architecture=design.architecture,
        backbone=design.backbone,
        backbone_weights=recorded["backbone_weights"],
        precision=recorded["precision"],
        chosen=recorded.get("chosen", ""),
        method=method,
        weights=dict(weights),
        seed=seed,
        split=evaluation.split,
        images=len(chosen),
        miou=confusion.miou(),
        pixel_accuracy=confusion.pixel_accuracy(),
        iou_per_class={n: None if math.isnan(v) else float(v) for n, v in zip(table.names, iou, strict=True)},
        predicted_absent={n: int(p) for n, p, v in zip(table.names, predicted, iou, strict=True) if math.isnan(v)},
        parameters=deployed_parameters(segmenter),
        gmacs=multiply_accumulates(segmenter, *resizing.size) / 1e9,
        input=list(resizing.size),
    )
    write_record(metrics, evaluation_record)
    print(f"{name}: {100 * evaluation_record.miou:.2f} % mIoU{evaluation_record.miou_scope}")


def predict(
    runner: Runner, resizing: Resizing, samples: Sequence[Sample], batch_size: int, out: Path, name: str
) -> None:
    """Write out/ID.png for each sample: an 8-bit PNG of train ids in the size of the image."""
    batches = evaluation_batches(samples, batch_size)
    for batch in track(batches, f"{name}: predicting", total=math.ceil(len(samples) / batch_size)):
        predictions = resizing.segment(runner.run, list(batch.image.permute(0, 2, 3, 1).numpy()))
        for sample_id, prediction in zip(batch.ids, predictions, strict=True):
            with replacing(out / f"{sample_id}.png") as temporary:
                write_mask(temporary, prediction)


def score_predictions(
    samples: Sequence[Sample], predictions: Path, classes: ClassTable
) -> tuple[ConfusionMatrix, list[list[object]]]:
    """Return the confusion matrix of all images, and id, mIoU and pixel accuracy of each (blank if unlabelled)."""
    whole = ConfusionMatrix(len(classes.classes))
    rows: list[list[object]] = []
    for sample in samples:
        single = ConfusionMatrix(len(classes.classes))
        single.add(read_labels(sample, classes), read_mask(predictions / f"{sample.id}.png"))
        whole.counts += single.counts
        scores = (single.miou(), single.pixel_accuracy())
        rows.append([sample.id, *("" if math.isnan(score) else f"{score:.6f}" for score in scores)])
    return whole, rows
