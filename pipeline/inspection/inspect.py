"""What there is to see in a dataset on which networks were trained: hard samples, wrong labels, gains and losses."""

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
from pipeline.inspection.judging import Prediction, judge_networks
from pipeline.inspection.mistakes import find_mistakes, mistake_score
from pipeline.inspection.records import TEACHER, InspectedSample, InspectionError, write_inspected
from pipeline.inspection.scores import hardness, positions
from pipeline.inspection.teacher import Sight, Teacher
from pipeline.params import EvaluationParams, InspectionParams
from pipeline.params.runs import RunParams
from pipeline.runtime import available_threads


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
    """Let the teacher look at all samples that curation kept, and judge every network where it was evaluated.

    Writes `out`/predictions (the teacher's, one PNG of train ids for each kept sample), `out`/embeddings.npy (float32
    (n, c), a row of length 1 for each kept sample in the order of the list) and, last, `out`/samples.jsonl with all
    samples, the dropped ones too.

    Args:
        checkpoint: of the teacher.
        evaluated: folder in which stage evaluate left a folder for each run.

    Raises:
        InspectionError: the teacher knows other classes, or a run's prediction is missing or of another size.
        ClassTableError, SampleListError, ModelError, ImageError: an input is missing or damaged.
    """
    (out / "samples.jsonl").unlink(missing_ok=True)
    table = ClassTable.load(classes)
    decided = read_decisions(decisions)
    kept = [decision.sample for decision in decided if decision.decision == "keep"]
    teacher = Teacher(checkpoint, table.names, available_threads())

    inspected = {decision.sample.id: _unmeasured(decision) for decision in decided}
    embeddings: list[np.ndarray] = []
    for sample, labels, sight in _look(teacher, kept, table, evaluation.batch_size):
        with replacing(_prediction(out, sample.id)) as temporary:
            write_mask(temporary, sight.opinion.prediction)
        judged = [run for run in runs if sample.split == evaluation.split]
        predictions = _predictions(sample.id, sight.opinion.prediction, judged, evaluated, out)
        inspected[sample.id] = replace(
            _measured(inspected[sample.id], sight, labels, table.names, inspection),
            networks=judge_networks(
                predictions,
                labels,
                {run: runs[run].baseline for run in judged},
                len(table.classes),
                inspection.boundary_pixels,
            ),
        )
        embeddings.append(sight.embedding)

    stacked = np.stack(embeddings)
    for sample, (x, y) in zip(kept, positions(stacked).tolist(), strict=True):
        inspected[sample.id] = replace(inspected[sample.id], position=(x, y))
    with replacing(out / "embeddings.npy") as temporary, temporary.open("wb") as file:
        np.save(file, stacked)
    write_inspected(out / "samples.jsonl", inspected.values())


def _look(
    teacher: Teacher, samples: Sequence[Sample], classes: ClassTable, batch_size: int
) -> Iterator[tuple[Sample, np.ndarray, Sight]]:
    """Each sample with its labels, uint8 (H, W), and what the teacher sees in it."""
    remaining = iter(samples)
    batches = evaluation_batches(samples, batch_size)
    for batch in track(batches, f"{TEACHER}: inspecting", total=math.ceil(len(samples) / batch_size)):
        members = [next(remaining) for _ in batch.ids]
        labels = [read_labels(sample, classes) for sample in members]
        yield from zip(members, labels, teacher.look(batch.image, labels), strict=True)


def _unmeasured(decision: Decision) -> InspectedSample:
    """What is known of a sample before any network has seen it."""
    sample = decision.sample
    return InspectedSample(
        id=sample.id,
        split=sample.split,
        sequence=sample.sequence,
        image=sample.image.as_posix(),
        mask=None if sample.mask is None else sample.mask.as_posix(),
        image_sha256=sample.image_sha256,
        mask_sha256=sample.mask_sha256,
        size=_size(sample.image),
        decision=decision.decision,
        rules=decision.rules,
        reasons=decision.reasons,
        hardness=None,
        mistake_score=None,
        mistakes=[],
        position=None,
        networks={},
    )


def _size(image: Path) -> tuple[int, int] | None:
    """Height and width; None for a picture that cannot be read, for which curation dropped it."""
    try:
        width, height = image_size(image)
    except ImageError:
        return None
    return height, width


def _measured(
    sample: InspectedSample, sight: Sight, labels: np.ndarray, names: Sequence[str], inspection: InspectionParams
) -> InspectedSample:
    mistakes = find_mistakes(
        sight.opinion,
        labels,
        names,
        inspection.min_confidence,
        inspection.min_region_pixels,
        inspection.boundary_pixels,
    )
    return replace(
        sample,
        hardness=hardness(sight.entropy, labels),
        mistake_score=mistake_score(mistakes, labels),
        mistakes=mistakes,
    )


def _predictions(
    sample_id: str, seen: np.ndarray, runs: Iterable[str], evaluated: Path, out: Path
) -> dict[str, Prediction]:
    """The teacher's prediction `seen`, uint8 (H, W), and those that stage evaluate left of the runs."""
    predictions = {TEACHER: Prediction(_prediction(out, sample_id), seen)}
    for run in runs:
        path = _prediction(evaluated / run, sample_id)
        predictions[run] = Prediction(path, _read_prediction(path, seen.shape, run))
    return predictions


def _prediction(folder: Path, sample_id: str) -> Path:
    return folder / "predictions" / f"{sample_id}.png"


def _read_prediction(path: Path, shape: tuple[int, ...], run: str) -> np.ndarray:
    mend = f"run `dvc repro evaluate@{run}` in the profile's folder to make it again"
    try:
        prediction = read_mask(path)
    except ImageError as error:
        raise InspectionError(f"{error}; {mend}") from error
    if prediction.shape != shape:
        found, expected = ("x".join(map(str, size)) for size in (prediction.shape, shape))
        raise InspectionError(f"{path} has {found} pixels, the image {expected}; {mend}")
    return prediction
