"""Find what is worth seeing in a dataset: hard samples, likely wrong labels, gains and losses of each network."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.progress import track

from pipeline.data.classes import ClassTable
from pipeline.data.dataset import evaluation_batches
from pipeline.data.files import replacing
from pipeline.data.images import ImageError, image_size, read_mask, write_mask
from pipeline.data.labels import read_labels
from pipeline.data.samples import Decision, Sample, read_decisions
from pipeline.errors import ArtifactError
from pipeline.inspection.mistakes import find_mistakes, mistake_score
from pipeline.inspection.records import TEACHER, InspectedSample, write_inspected
from pipeline.inspection.scores import Prediction, hardness, positions, score_networks
from pipeline.inspection.teacher import Teacher, TeacherOutput
from pipeline.params.deployment import EvaluationParams, InspectionParams
from pipeline.params.runs import RunParams
from pipeline.runtime.artifacts import available_threads


def inspect_dataset(
    inspection: InspectionParams,
    evaluation: EvaluationParams,
    runs: Mapping[str, RunParams],
    classes: Path,
    decisions: Path,
    checkpoint: Path,
    evaluated: Path,
    out: Path,
) -> None:
    """Run the teacher on all samples that curation kept, and score every network where it was evaluated.

    Writes `out`/predictions (the teacher's, one PNG of train ids for each kept sample), `out`/embeddings.npy (float32
    (n, c), a row of length 1 for each kept sample in the order of the list) and, last, `out`/samples.jsonl with all
    samples, the dropped ones too.

    Args:
        checkpoint: of the teacher.
        evaluated: folder in which stage evaluate left a folder for each run.

    Raises:
        ArtifactError: the teacher knows other classes, or a run's prediction is missing or of another size.
        DatasetError, ModelError: an input is missing or damaged.
    """
    (out / "samples.jsonl").unlink(missing_ok=True)
    table = ClassTable.load(classes)
    decided = read_decisions(decisions)
    kept = [decision.sample for decision in decided if decision.decision == "keep"]
    teacher = Teacher(checkpoint, table.names, available_threads())

    inspected = {decision.sample.id: _unmeasured(decision) for decision in decided}
    embeddings: list[np.ndarray] = []
    for sample, labels, output in _outputs(teacher, kept, table, evaluation.batch_size):
        with replacing(_prediction(out, sample.id)) as temporary:
            write_mask(temporary, output.prediction)
        scored = [run for run in runs if sample.split == evaluation.split]
        baselines = {run: runs[run].baseline for run in scored}
        predictions = _predictions(sample.id, output.prediction, scored, evaluated, out)
        mistakes = find_mistakes(
            output,
            labels,
            table.names,
            inspection.min_confidence,
            inspection.min_region_pixels,
            inspection.boundary_pixels,
        )
        inspected[sample.id] = replace(
            inspected[sample.id],
            hardness=hardness(output.entropy, labels),
            mistake_score=mistake_score(mistakes, labels),
            mistakes=mistakes,
            networks=score_networks(predictions, labels, baselines, len(table.classes), inspection.boundary_pixels),
        )
        embeddings.append(output.embedding)

    stacked = np.stack(embeddings)
    for sample, (x, y) in zip(kept, positions(stacked).tolist(), strict=True):
        inspected[sample.id] = replace(inspected[sample.id], position=(x, y))
    with replacing(out / "embeddings.npy") as temporary, temporary.open("wb") as file:
        np.save(file, stacked)
    write_inspected(out / "samples.jsonl", inspected.values())


def _outputs(
    teacher: Teacher, samples: Sequence[Sample], classes: ClassTable, batch_size: int
) -> Iterator[tuple[Sample, np.ndarray, TeacherOutput]]:
    """Yield each sample with its labels, uint8 (H, W), and the teacher's output."""
    remaining = iter(samples)
    batches = evaluation_batches(samples, batch_size)
    for batch in track(batches, f"{TEACHER}: inspecting", total=math.ceil(len(samples) / batch_size)):
        members = [next(remaining) for _ in batch.ids]
        labels = [read_labels(sample, classes) for sample in members]
        yield from zip(members, labels, teacher.predict(batch.image, labels), strict=True)


def _unmeasured(decision: Decision) -> InspectedSample:
    """Return what is known of a sample before any network has seen it."""
    sample = decision.sample
    try:
        width, height = image_size(sample.image)
        size = (height, width)
    except ImageError:  # curation dropped it for that
        size = None
    return InspectedSample(
        id=sample.id,
        split=sample.split,
        sequence=sample.sequence,
        image=sample.image.as_posix(),
        mask=None if sample.mask is None else sample.mask.as_posix(),
        image_sha256=sample.image_sha256,
        mask_sha256=sample.mask_sha256,
        size=size,
        decision=decision.decision,
        rules=decision.rules,
        reasons=decision.reasons,
    )


def _predictions(
    sample_id: str, teacher: np.ndarray, runs: Iterable[str], evaluated: Path, out: Path
) -> dict[str, Prediction]:
    """Return the teacher's prediction, uint8 (H, W), and those that stage evaluate left of the runs."""
    predictions = {TEACHER: Prediction(_prediction(out, sample_id), teacher)}
    for run in runs:
        path = _prediction(evaluated / run, sample_id)
        predictions[run] = Prediction(path, _read_prediction(path, teacher.shape, run))
    return predictions


def _prediction(folder: Path, sample_id: str) -> Path:
    return folder / "predictions" / f"{sample_id}.png"


def _read_prediction(path: Path, shape: tuple[int, ...], run: str) -> np.ndarray:
    remedy = f"run `dvc repro evaluate-{run}` in the profile's folder to make it again"
    try:
        prediction = read_mask(path)
    except ImageError as error:
        raise ArtifactError(f"{error}; {remedy}") from error
    if prediction.shape != shape:
        found, expected = ("x".join(map(str, size)) for size in (prediction.shape, shape))
        raise ArtifactError(f"{path} has {found} pixels, the image {expected}; {remedy}")
    return prediction
