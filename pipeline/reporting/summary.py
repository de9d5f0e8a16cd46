"""The numbers of summary.json, and the opening of the page: a headline, and one fact for each stage."""

from dataclasses import asdict, replace
from typing import Any

from pipeline.records.benchmark import IMAGE_TO_LABELS
from pipeline.reporting import formatting as show
from pipeline.reporting.inputs import Inputs, Run

PRETRAINED = "pre-trained here: "  # how stage pretrain starts its description of a backbone


def summarize(title: str, inputs: Inputs) -> dict[str, Any]:
    """Pick the numbers of summary.json, all shares 0..1; nothing is measured or rounded here."""
    return {
        "profile_title": title,
        "teacher": _pick(inputs.teacher.evaluation, "miou", "pixel_accuracy", "architecture", "backbone"),
        "runs": [_summarize_run(run) for run in inputs.runs.values()],
        "machine": next(iter(inputs.runs.values())).benchmark.machine,  # the machine that timed the first run
    }


def _summarize_run(run: Run) -> dict[str, Any]:
    evaluation, parity = run.evaluation, run.export.full.parity
    fastest = None  # no file is released
    if first := run.fastest:
        fastest = _pick(first, "runtime", "precision", "file", "miou", "p50_ms")
        fastest |= {"noisy": run.is_noisy(first), "times_eager": run.times_eager(first)}
    engine = ("precision", "backend", "status", "executed", "reason", "bytes")
    return {
        "run": run.name,
        **_pick(evaluation, "architecture", "method", "seed", "miou", "predicted_absent"),
        "baseline_miou": run.baseline_miou,
        "gain_points": run.gain_points,
        "pixel_accuracy": evaluation.pixel_accuracy,
        "params": evaluation.parameters,
        "gmacs": evaluation.gmacs,
        "onnx_pixel_agreement": parity.pixel_agreement,
        "onnx_miou": parity.miou,
        "latency_p50_ms": run.fp32_ms,
        "latency_runtime": "onnxruntime",
        "latency_boundary": IMAGE_TO_LABELS,
        "fastest": fastest,
        "decisions": [asdict(decision) for decision in run.decisions],
        "engines": [_pick(built, *engine) for built in run.engines.engines],
        "release": run.release.status,
        "release_reasons": run.release.reasons,
        "signed": run.signed,
    }


def _pick(record: object, *names: str) -> dict[str, Any]:
    return {name: getattr(record, name) for name in names}


def headline(inputs: Inputs) -> str:
    """Write one sentence about the best student."""
    best = inputs.best
    reached = f"{show.percent(best.evaluation.miou)} mIoU{best.evaluation.miou_scope}"
    opening = f"{best.name} reaches {reached}: {describe_gain(best)}"
    if not best.is_baseline:
        return f"{opening}."
    if not inputs.distilled:
        return f"{opening}. No run of this profile is distilled."
    second = max(inputs.distilled, key=lambda run: run.evaluation.miou)
    return (
        f"{opening}, the best run here. The best distilled run, {second.name}, "
        f"has {show.percent(second.evaluation.miou)}: {describe_gain(second)}."
    )


def describe_gain(run: Run) -> str:
    """Describe the gain or loss of one run against its baseline."""
    if run.gain_points is None:
        return "a student trained without a teacher"
    rounded = round(run.gain_points, 1)
    if rounded == 0:
        return "no difference to the same student trained without a teacher"
    kind = "a gain" if rounded > 0 else "a loss"
    return f"{kind} of {abs(rounded):.1f} points against the same student trained without a teacher"


def describe_seeds(inputs: Inputs) -> str:
    """Describe how reliable the best result is, by the number of seeds of its recipe."""
    recipes = {name: replace(run.params, seed=0, baseline="") for name, run in inputs.runs.items()}
    alike = [run for name, run in inputs.runs.items() if recipes[name] == recipes[inputs.best.name]]
    if len({run.params.seed for run in alike}) == 1:
        return "One seed: a difference may come from the seed, not from the method."
    gains = [run.gain_points for run in alike if run.gain_points is not None]
    spread = f", gains from {show.points(min(gains))} to {show.points(max(gains))} points" if gains else ""
    return f"{len(alike)} runs of this recipe with different seeds{spread}; this one is the best of them."


def stage_facts(inputs: Inputs) -> dict[str, str]:
    """Return one fact for each stage, in their order."""
    runs, best, teacher = list(inputs.runs.values()), inputs.best, inputs.teacher.evaluation
    rejected, count = len(inputs.rejected), show.count
    curated = sum(split.samples for split in inputs.statistics.splits.values())
    inspected = sum(sample.hardness is not None for sample in inputs.inspected)
    engines = [engine for run in runs for engine in run.engines.engines]
    lost = [artifact.parity.miou_lost_points for run in runs for artifact in run.quantization.artifacts]
    # The record of a student describes how its backbone was pre-trained.
    weights = {run.evaluation.backbone_weights for run in runs}
    pretrained = [entry.removeprefix(PRETRAINED).split(" on ")[0] for entry in weights if entry.startswith(PRETRAINED)]
    return {
        "prepare": f"{count(curated + rejected)} images, {len(inputs.classes.classes)} classes",
        "curate": f"{count(rejected)} rejected",
        "preflight": "passed",
        **({"pretrain": "; ".join(sorted(pretrained))} if pretrained else {}),
        "teacher": f"{teacher.architecture}, {show.percent(teacher.miou)}",
        "student": f"{show.counted(len(runs), 'run')}, {len(inputs.distilled)} distilled",
        "evaluate": f"{count(teacher.images)} {teacher.split} images",
        "export": f"parity {show.agreement(min(run.export.full.parity.pixel_agreement for run in runs))}",
        "quantize": f"{show.number(max(lost, default=None))} points lost at most",
        "engine": f"{sum(engine.status == 'built' for engine in engines)} of {len(engines)} built",
        "benchmark": f"best: {show.milliseconds(best.fastest.p50_ms if best.fastest else best.fp32_ms)}",
        "release": f"{sum(run.release.status == 'released' for run in runs)} of {len(runs)} released",
        "inspect": f"{count(inspected)} images inspected",
        "report": "this page",
    }
