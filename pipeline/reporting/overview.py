"""The few numbers that are read first: four tiles, and one live fact for each stage of the pipeline."""

from typing import NamedTuple

from pipeline.reporting.material import Material, Run
from pipeline.reporting.summary import RunSummary, Summary
from pipeline.reporting.wording import (
    NOT_AVAILABLE,
    agreement,
    count,
    counted,
    millions,
    milliseconds,
    number,
    percent,
    points,
    runtime,
)

PRETRAINED = "pre-trained here: "  # how stage pretrain begins its description of a backbone


class Tile(NamedTuple):
    """A number with what it is and what it is compared with."""

    label: str
    value: str
    detail: str


class StageFact(NamedTuple):
    """A stage and what it found."""

    stage: str
    fact: str


def tiles(summary: Summary, material: Material) -> list[Tile]:
    """The best student: quality, gain, latency and size."""
    best, teacher = summary.best, material.teacher.evaluation
    kept = f"teacher {percent(teacher.miou)}; {teacher.images} {teacher.split} images"
    baseline = material.runs[best.run].params.baseline
    against = f"against {baseline} ({percent(best.baseline_miou)}), the same student without a teacher"
    return [
        Tile("Best student, mIoU", percent(best.miou), f"{best.run}; {kept}"),
        Tile("From distillation",
             "n/a" if best.gain_points is None else f"{points(best.gain_points)} points",
             "the best student is a baseline" if best.gain_points is None else against),
        _latency_tile(best, material.runs[best.run]),
        Tile("Parameters", millions(best.params),
             f"teacher {millions(teacher.parameters)}, {teacher.parameters / best.params:.1f} times as many"),
    ]  # fmt: skip


def _latency_tile(best: RunSummary, run: Run) -> Tile:
    """The fastest file of the best student that ships."""
    fastest, profile = best.fastest, run.profile
    if fastest is None:
        return Tile("Latency", NOT_AVAILABLE, f"nothing of {best.run} ships")
    eager = f"{fastest.times_eager:.1f} times as fast as PyTorch eager; " if fastest.times_eager else ""
    noisy = "noisy; " if fastest.noisy else ""
    conditions = (
        f"{noisy}p50, image to labels, {counted(profile.protocol.threads, 'thread')}, "
        f"{profile.machine.get('cpu') or 'unnamed CPU'}"
    )
    return Tile(
        f"Latency, {fastest.precision} on {runtime(fastest.runtime)}",
        milliseconds(fastest.p50_ms),
        f"the fastest that ships; {eager}{conditions}",
    )


def stage_facts(summary: Summary, material: Material) -> list[StageFact]:
    """The stages in order."""
    curated = sum(split.samples for split in material.statistics.splits.values())
    rejected = len(material.rejected)
    teacher, best = material.teacher.evaluation, summary.best
    engines = [engine for run in summary.runs for engine in run.engines]
    built = sum(engine.status == "built" for engine in engines)
    released = sum(run.release == "released" for run in summary.runs)
    looked_at = sum(sample.hardness is not None for sample in material.inspected)
    quantized = [artifact for run in material.runs.values() for artifact in run.quantization.artifacts]
    lost = max((artifact.parity.miou_lost_points for artifact in quantized), default=None)
    least = min(run.onnx_pixel_agreement for run in summary.runs)
    return [
        StageFact("prepare", f"{count(curated + rejected)} images, {len(material.classes.classes)} classes"),
        StageFact("curate", f"{count(rejected)} rejected"),
        *_pretraining(material),
        StageFact("teacher", f"{teacher.architecture}, {percent(teacher.miou)}"),
        StageFact("student", f"{counted(len(summary.runs), 'run')}, {len(material.distilled)} distilled"),
        StageFact("evaluate", f"{count(teacher.images)} {teacher.split} images"),
        StageFact("inspect", f"{count(looked_at)} images looked at"),
        StageFact("export", f"parity {agreement(least)}"),
        StageFact("quantize", f"{number(lost)} points lost at most"),
        StageFact("engine", f"{built} of {len(engines)} built"),
        StageFact("profile", f"best: {milliseconds(best.fastest.p50_ms if best.fastest else best.latency_p50_ms)}"),
        StageFact("release", f"{released} of {len(summary.runs)} released"),
        StageFact("report", "this page"),
    ]


def _pretraining(material: Material) -> list[StageFact]:
    """The stage, if any student began with what it made; how it was made stands in the student's record."""
    begun = {run.judged.evaluation.backbone_weights for run in material.runs.values()}
    made = sorted(weights for weights in begun if weights.startswith(PRETRAINED))
    return [StageFact("pretrain", weights.removeprefix(PRETRAINED).split(" on ")[0]) for weights in made]
