"""The verdict of a comparison: comparison.json, README.md, charts and pictures."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import median
from typing import Any

from pipeline.comparison import charts
from pipeline.comparison.gain import Gain
from pipeline.comparison.pictures import SHOWN, curves, examples_png
from pipeline.comparison.plan import Places, Trial
from pipeline.comparison.results import CandidateResult, class_gains, gain_of, read_results
from pipeline.data.files import replacing, write_json, write_text
from pipeline.errors import SegdistillError
from pipeline.params import Params, Split
from pipeline.params.runs import NO_TEACHER, NetworkParams, TeachingParams
from pipeline.reporting.reading import ReportError
from pipeline.reporting.wording import number, points


class TrialDamaged(SegdistillError):
    """What a finished trial left cannot be shown."""


def write_verdict(trials: Sequence[Trial], params: Params, split: Split, places: Places) -> None:
    """Write everything about these finished trials into `places.reports`, the best candidate first.

    Raises:
        TrialDamaged: a trial's curve or prediction, or an image of the split, is missing or is not what it was.
    """
    results = read_results(trials, split, places)
    baseline = results[NO_TEACHER]
    confidence = params.comparison.confidence
    gains = {name: gain_of(result, baseline, confidence) for name, result in results.items() if name != NO_TEACHER}
    order = sorted(gains, key=lambda name: -gains[name].mean)
    gains = {name: gains[name] for name in order}
    per_class = {name: class_gains(results[name], baseline) for name in order}

    slowdown = {name: results[name].times(baseline) for name in order}
    _save(charts.gains_and_cost(gains, slowdown, confidence).png, places, "gains")
    classes = list(baseline.iou_per_class[0])
    by_class = charts.class_gains({name: list(row.values()) for name, row in per_class.items()}, classes)
    _save(by_class.png, places, "classes")
    shown = [NO_TEACHER, *order[:SHOWN]]
    best = [trial for name in shown for trial in trials if trial.candidate == name]
    try:
        _save(curves(best, places).png, places, "training")
        _save(examples_png([trial for trial in best if trial.seed == 0], split, places), places, "examples")
    except ReportError as error:
        raise TrialDamaged(
            f"{error}. If it lies in {places.runs}, delete the folder of that trial and run the same comparison again"
        ) from error
    write_json(
        places.reports / "comparison.json",
        {
            "recipe": params.comparison.recipe,
            "split": split,
            "confidence": confidence,
            "machines": _machines(results),
            "baseline": _plain(baseline),
            "candidates": {
                name: {**_plain(results[name]), "gain": gains[name]._asdict(), "gain_per_class": per_class[name]}
                for name in order
            },
        },
    )
    write_text(places.reports / "README.md", _page(results, gains, shown, params, split))


def _plain(result: CandidateResult) -> dict[str, object]:
    record = {**asdict(result), "cost": result.cost._asdict()}
    for name in ("name", "machines"):
        del record[name]
    return record


def _machines(results: Mapping[str, CandidateResult]) -> list[dict[str, Any]]:
    """Each once, as they were met."""
    every = [machine for result in results.values() for machine in result.machines]
    return [machine for index, machine in enumerate(every) if machine not in every[:index]]


def _machine_in_words(machine: Mapping[str, Any]) -> str:
    gpu = machine["gpu"] or "no GPU"
    return f"{machine['cores']} cores of {machine['cpu']}, {machine['memory_gb']} GB, {gpu}; torch {machine['torch']}"


def _network_in_words(network: NetworkParams) -> str:
    size = "images as they are" if network.input_scale == 1 else f"images at {network.input_scale:g} times their size"
    weights = {"none": "from scratch", "pretraining": "pre-trained here, without labels (stage pretrain)"}
    source = weights.get(network.weights.source, "with weights from elsewhere")
    return f"{network.architecture} on {network.backbone}, {source}; output stride {network.output_stride}, {size}"


def _save(png: bytes, places: Places, name: str) -> None:
    with replacing(places.reports / f"{name}.png") as temporary:
        temporary.write_bytes(png)


def _page(
    results: Mapping[str, CandidateResult],
    gains: Mapping[str, Gain],
    shown: Sequence[str],
    params: Params,
    split: Split,
) -> str:
    baseline = results[NO_TEACHER]
    recipe = params.runs[params.comparison.recipe]
    seeds = len(baseline.miou)
    asked = ["--seeds", str(seeds), "--split", split, "--recipe", params.comparison.recipe]
    command = shlex.join(["python", "-m", "pipeline.comparison", *gains, *asked])
    machines = _machines(results)
    return f"""# What distillation gains for `{params.comparison.recipe}`

| what | value |
| --- | --- |
| command | `{command}` |
| {"machine" if len(machines) == 1 else "machines"} | {"<br>".join(map(_machine_in_words, machines))} |
| recipe | {recipe.iterations} iterations, batch {params.training.batch_size}, crop \
{params.training.crop_height} x {params.training.crop_width}, learning rate {recipe.learning_rate} |
| student | {_network_in_words(recipe.network)} |
| judged on | {split} split, whole images |
| seeds | {seeds}; the candidates of one seed share initial weights, data order and crops |

{_verdict_in_words(gains, params.comparison.confidence)}

| candidate | weights | mIoU of each seed, % | mean, % | gain, points | \
{100 * params.comparison.confidence:g} % interval | verdict | agreement with the teacher, % |
| --- | --- | --- | --- | --- | --- | --- | --- |
{_rows([_quality_row(results[name], gains.get(name)) for name in (NO_TEACHER, *gains)])}

![Gains and the time of an iteration](gains.png)

## What it costs

| candidate | s / iteration | times the baseline | training, min | GPU energy, kJ | peak memory, GB | \
training-only parameters, M | GMAC of the method | GMAC of the teacher |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
{_rows([_cost_row(results[name], baseline, recipe.iterations) for name in (NO_TEACHER, *gains)])}

Time is the median over windows of {params.training.log_every} iterations, then over seeds, and is compared with the \
baseline's of the same seed; energy is \
{"not known: no GPU said it" if baseline.gpu_watts is None else "the GPU's mean power over that time"}; memory is \
{"that of the whole training process" if baseline.gpu_peak_memory_bytes is None else "what was taken on the GPU"}.
Multiply-accumulates are forward, one crop, convolutions and matrix products; the student itself has \
{number(baseline.cost.student_macs / 1e9)} GMAC. The backward pass through the method is extra, the teacher has none.

## Which classes

![Mean gain of each class](classes.png)

## How they learned, and what they see

The baseline and {"the best candidate" if len(shown) == 2 else f"the best {len(shown) - 1} candidates"}; curves are \
means over the seeds. The pictures are the {split} images where `{shown[1]}` gains most, its median and where it gains \
least, with seed 0.

![Training curves](training.png)

![Predictions](examples.png)
"""


def _verdict_in_words(gains: Mapping[str, Gain], confidence: float) -> str:
    def named(verdict: str) -> list[str]:
        return [f"`{name}` ({points(gain.mean)})" for name, gain in gains.items() if gain.verdict == verdict]

    sentences = [
        f"**{title}:** {', '.join(names)}."
        for title, names in (
            ("Gain", named("gain")),
            ("No significant gain", named("no significant gain")),
            ("Loss", named("loss")),
            ("One seed, no verdict", named("one seed: no verdict")),
        )
        if names
    ]
    caution = (
        f"A gain or loss is a {100 * confidence:g} % interval of the paired difference on one side of zero: among "
        f"{len(gains)} candidates about {(1 - confidence) * len(gains):.1f} get there by chance alone. The seeds are "
        f"the student's; the teacher, the data and the recipe are one."
    )
    return "\n\n".join([*sentences, caution])


def _quality_row(result: CandidateResult, gain: Gain | None) -> list[str]:
    cells = [
        f"`{result.name}`",
        _weights(result.teaching),
        ", ".join(f"{100 * miou:.2f}" for miou in result.miou),
        f"{100 * result.mean_miou:.2f}",
    ]
    if gain is None:
        return [*cells, "", "", "", ""]
    interval = "" if gain.low is None else f"{_signed(gain.low)} to {_signed(gain.high)}"
    agreement = "" if result.agreement is None else f"{100 * result.agreement:.1f}"
    return [*cells, _signed(gain.mean), interval, gain.verdict, agreement]


def _cost_row(result: CandidateResult, baseline: CandidateResult, iterations: int) -> list[str]:
    memory = result.peak_memory_bytes if result.gpu_peak_memory_bytes is None else result.gpu_peak_memory_bytes
    seconds = median(result.seconds_per_iteration)
    return [
        f"`{result.name}`",
        number(seconds, 3),
        number(result.times(baseline)),
        number(seconds * iterations / 60, 1),
        "" if result.gpu_watts is None else number(result.gpu_watts * seconds * iterations / 1000),
        number(memory / 1e9),
        number(result.cost.training_only_parameters / 1e6),
        number(result.cost.methods_macs / 1e9),
        number(result.cost.teacher_macs / 1e9),
    ]


def _weights(teaching: TeachingParams) -> str:
    words = [f"{name} {weight:g}" for name, weight in teaching.distill.items()]
    if teaching.momentum_shift:
        words.append(f"DOT, shift {teaching.momentum_shift:g}")
    if teaching.unlabelled_share:
        words.append(f"unlabelled images, {100 * teaching.unlabelled_share:g} %")
    if teaching.inherit_layers:
        words.append("inherited layers")
    return ", ".join(words)


def _signed(value: float | None) -> str:
    return "" if value is None else f"{value:+.2f}"


def _rows(rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
