"""What the page says first: the headline, four tiles, and one fact for each stage of the pipeline."""

from dataclasses import replace
from typing import NamedTuple

from pipeline.reporting.formatting import (
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
from pipeline.reporting.inputs import Inputs, Run
from pipeline.reporting.summary import RunSummary, Summary

PRETRAINED = "pre-trained here: "  # how stage pretrain starts its description of a backbone


class Tile(NamedTuple):
    """A number, its name, and what it is compared with."""

    label: str
    value: str
    detail: str


def headline(summary: Summary) -> str:
    """Write one sentence about the best student."""
    best = summary.best
    opening = f"{best.run} reaches {percent(best.miou)} mIoU"
    distilled = [run for run in summary.runs if run.gain_points is not None]
    if best.gain_points is not None:
        return f"{opening}: {describe_gain(best)}."
    if not distilled:
        return f"{opening}: {describe_gain(best)}. No run of this profile is distilled."
    second = max(distilled, key=lambda run: run.miou)
    return (
        f"{opening}: {describe_gain(best)} is the best one here. "
        f"The best distilled run, {second.run}, has {percent(second.miou)}: {describe_gain(second)}."
    )


def describe_gain(run: RunSummary) -> str:
    """Describe what distillation did to one run, against its baseline."""
    if run.gain_points is None:
        return "a student trained without a teacher"
    rounded = round(run.gain_points, 1)
    if rounded == 0:
        return "no difference to the same student trained without a teacher"
    kind = "a gain" if rounded > 0 else "a loss"
    return f"{kind} of {abs(rounded):.1f} points against the same student trained without a teacher"


def describe_seeds(run: RunSummary, summary: Summary, inputs: Inputs) -> str:
    """Say how far the result of a run can be trusted, from the seeds that its recipe was trained with."""
    recipes = {name: replace(other.params, seed=0, baseline="") for name, other in inputs.runs.items()}
    alike = [other for other in summary.runs if recipes[other.run] == recipes[run.run]]
    if len({other.seed for other in alike}) == 1:
        return "One seed: not a verdict on the method."
    gains = [other.gain_points for other in alike if other.gain_points is not None]
    spread = f", gains from {points(min(gains))} to {points(max(gains))} points" if gains else ""
    return f"{len(alike)} runs of this recipe with different seeds{spread}; this one is the best of them."


def tiles(summary: Summary, inputs: Inputs) -> list[Tile]:
    """Return quality, gain, latency and size of the best student."""
    best, teacher = summary.best, inputs.teacher.evaluation
    baseline = inputs.runs[best.run].params.baseline
    against = f"against {baseline} ({percent(best.baseline_miou)}), the same student without a teacher"
    has_gain = best.gain_points is not None
    return [
        Tile("Best student, mIoU", percent(best.miou),
             f"{best.run}; teacher {percent(teacher.miou)}; {teacher.images} {teacher.split} images"),
        Tile("From distillation", f"{points(best.gain_points)} points" if has_gain else NOT_AVAILABLE,
             against if has_gain else "the best student is a baseline"),
        _latency_tile(best, inputs.runs[best.run]),
        Tile("Parameters", millions(best.params),
             f"teacher {millions(teacher.parameters)}, {teacher.parameters / best.params:.1f} times as many"),
    ]  # fmt: skip


def _latency_tile(best: RunSummary, run: Run) -> Tile:
    """The fastest file of the best student that ships."""
    fastest, benchmark = best.fastest, run.benchmark
    if fastest is None:
        return Tile("Latency", NOT_AVAILABLE, f"no file of {best.run} ships")
    eager = f"{fastest.times_eager:.1f} times as fast as PyTorch eager; " if fastest.times_eager else ""
    conditions = f"p50, image to labels, {counted(benchmark.protocol.threads, 'thread')}"
    cpu = benchmark.machine.get("cpu") or "unnamed CPU"
    return Tile(
        f"Latency, {fastest.precision} on {runtime(fastest.runtime)}",
        milliseconds(fastest.p50_ms),
        f"the fastest file that ships; {eager}{'noisy; ' if fastest.noisy else ''}{conditions}, {cpu}",
    )


def stage_facts(summary: Summary, inputs: Inputs) -> dict[str, str]:
    """Return one fact for each stage, in their order."""
    curated = sum(split.samples for split in inputs.statistics.splits.values())
    rejected = len(inputs.rejected)
    teacher, best = inputs.teacher.evaluation, summary.best
    engines = [engine for run in inputs.runs.values() for engine in run.engines.engines]
    quantized = [artifact for run in inputs.runs.values() for artifact in run.quantization.artifacts]
    inspected = sum(sample.hardness is not None for sample in inputs.inspected)
    # How the backbone was pre-trained stands in the record of a student that started with it.
    weights = {run.evaluation.backbone_weights for run in inputs.runs.values()}
    pretrained = [entry.removeprefix(PRETRAINED).split(" on ")[0] for entry in weights if entry.startswith(PRETRAINED)]
    return {
        "prepare": f"{count(curated + rejected)} images, {len(inputs.classes.classes)} classes",
        "curate": f"{count(rejected)} rejected",
        **({"pretrain": "; ".join(sorted(pretrained))} if pretrained else {}),
        "teacher": f"{teacher.architecture}, {percent(teacher.miou)}",
        "student": f"{counted(len(summary.runs), 'run')}, {len(inputs.distilled)} distilled",
        "evaluate": f"{count(teacher.images)} {teacher.split} images",
        "inspect": f"{count(inspected)} images inspected",
        "export": f"parity {agreement(min(run.onnx_pixel_agreement for run in summary.runs))}",
        "quantize": f"{number(max((a.parity.miou_lost_points for a in quantized), default=None))} points lost at most",
        "engine": f"{sum(engine.status == 'built' for engine in engines)} of {len(engines)} built",
        "benchmark": f"best: {milliseconds(best.fastest.p50_ms if best.fastest else best.latency_p50_ms)}",
        "release": f"{sum(run.release == 'released' for run in summary.runs)} of {len(summary.runs)} released",
        "report": "this page",
    }
