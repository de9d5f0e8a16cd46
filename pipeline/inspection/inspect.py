"""Find the samples that are worth a look: hard ones, likely label mistakes, gains and losses of each network."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.progress import track

from pipeline.data.classes import ClassTable
from pipeline.data.files import replacing
from pipeline.data.images import ImageError, image_size, read_labels, read_mask, write_mask
from pipeline.data.samples import Decision, read_decisions
from pipeline.errors import ArtifactError
from pipeline.inspection.records import TEACHER, InspectedSample, write_inspected
from pipeline.inspection.scores import find_mistakes, hardness, mistake_score, positions, score_networks
from pipeline.inspection.teacher import Teacher
from pipeline.params.deployment import EvaluationParams, InspectionParams
from pipeline.params.runs import RunParams
from pipeline.threads import available_threads
from segdistill_runtime.images import Resizing


def inspect_dataset(
    inspection: InspectionParams,
    evaluation: EvaluationParams,
    runs: Mapping[str, RunParams],
    resizing: Resizing,
    classes: Path,
    decisions: Path,
    checkpoint: Path,
    evaluated: Path,
    out: Path,
) -> None:
    """Run the teacher on all samples that curation kept, and score every network on the evaluation split.

    Writes `out`/predictions (the teacher's, one PNG of train ids for each kept sample), `out`/embeddings.npy (float32
    (n, c), a row of length 1 for each kept sample in the order of the list) and, last, `out`/samples.jsonl with all
    samples, including the dropped ones. `evaluated` is the folder in which stage evaluate wrote a folder for each run.
    """
    (out / "samples.jsonl").unlink(missing_ok=True)
    table = ClassTable.load(classes)
    decided = read_decisions(decisions)
    kept = [decision.sample for decision in decided if decision.decision == "keep"]
    teacher = Teacher(checkpoint, table.names, available_threads(), resizing)

    inspected = {decision.sample.id: _unmeasured(decision) for decision in decided}
    embeddings = []
    outputs = teacher.look_at(kept, evaluation.batch_size, lambda sample: read_labels(sample, table))
    for sample, labels, output in track(outputs, f"{TEACHER}: inspecting", total=len(kept)):
        name = Path("predictions", f"{sample.id}.png")
        with replacing(out / name) as temporary:
            write_mask(temporary, output.prediction)
        predictions = {TEACHER: (out / name, output.prediction)}
        scored = {run: runs[run].baseline for run in runs if sample.split == evaluation.split}
        for run in scored:
            path = evaluated / run / name
            predictions[run] = path, _read_prediction(path, output.prediction.shape, run)
        mistakes = find_mistakes(output, labels, table.names, inspection)
        inspected[sample.id] = replace(
            inspected[sample.id],
            hardness=hardness(output.entropy, labels),
            mistake_score=mistake_score(mistakes, labels),
            mistakes=mistakes,
            networks=score_networks(predictions, labels, scored, len(table.classes), inspection.boundary_pixels),
        )
        embeddings.append(output.embedding)

    stacked = np.stack(embeddings)
    for sample, (x, y) in zip(kept, positions(stacked).tolist(), strict=True):
        inspected[sample.id] = replace(inspected[sample.id], position=(x, y))
    with replacing(out / "embeddings.npy") as temporary, temporary.open("wb") as file:
        np.save(file, stacked)
    write_inspected(out / "samples.jsonl", inspected.values())


def _unmeasured(decision: Decision) -> InspectedSample:
    """Return the record of a sample before any network has processed it."""
    sample = decision.sample
    try:
        size = image_size(sample.image)[::-1]
    except ImageError:  # curation dropped it for that
        size = None
    files = {"image": sample.image.as_posix(), "mask": sample.mask and sample.mask.as_posix(), "size": size}
    verdict = {"decision": decision.decision, "rules": decision.rules, "reasons": decision.reasons}
    return InspectedSample(**{**sample._asdict(), **files, **verdict})


def _read_prediction(path: Path, shape: tuple[int, ...], run: str) -> np.ndarray:
    try:
        prediction = read_mask(path)
        if prediction.shape != shape:
            found, expected = ("x".join(map(str, size)) for size in (prediction.shape, shape))
            raise ImageError(f"{path} has {found} pixels, but the image has {expected}")
    except ImageError as error:
        raise ArtifactError(f"{error}; run `dvc repro evaluate-{run}` in the profile's folder") from error
    return prediction
