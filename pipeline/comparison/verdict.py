"""The verdict of a comparison: comparison.json, README.md and two charts."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import median
from typing import Any

from pipeline.comparison import charts
from pipeline.comparison.gain import Gain
from pipeline.comparison.plan import Places
from pipeline.comparison.results import CandidateResult, class_gains, gain_of
from pipeline.data.files import replacing, write_json, write_text
from pipeline.params import Params, Split
from pipeline.params.runs import NO_TEACHER, TeachingParams
from pipeline.reporting.charts import Chart
from pipeline.reporting.wording import number, points


def write_verdict(results: Mapping[str, CandidateResult], params: Params, split: Split, places: Places) -> None:
    """Write everything into `places.reports`, the best candidate first."""
    baseline = results[NO_TEACHER]
    confidence = params.comparison.confidence
    gains = {name: gain_of(result, baseline, confidence) for name, result in results.items() if name != NO_TEACHER}
    order = sorted(gains, key=lambda name: -gains[name].mean)
    gains = {name: gains[name] for name in order}
    per_class = {name: class_gains(results[name], baseline) for name in order}

    slowdown = {name: results[name].times(baseline) for name in order}
    _save(charts.gains_and_cost(gains, slowdown, confidence), places, "gains")
    classes = list(baseline.iou_per_class[0])
    _save(charts.class_gains({name: list(row.values()) for name, row in per_class.items()}, classes), places, "classes")
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
    write_text(places.reports / "README.md", _page(results, gains, params, split))


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


def _save(chart: Chart, places: Places, name: str) -> None:
    with replacing(places.reports / f"{name}.png") as temporary:
        temporary.write_bytes(chart.png)


def _page(results: Mapping[str, CandidateResult], gains: Mapping[str, Gain], params: Params, split: Split) -> str:
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
| judged on | {split} split, whole images |
| seeds | {seeds}; the candidates of one seed share initial weights, data order and crops |

{_verdict_in_words(gains, params.comparison.confidence)}

| candidate | weights | mIoU of each seed, % | mean, % | gain, points | \
{100 * params.comparison.confidence:g} % interval | verdict | agreement with the teacher, % |
| --- | --- | --- | --- | --- | --- | --- | --- |
{_rows([_quality_row(results[name], gains.get(name)) for name in (NO_TEACHER, *gains)])}

![Gains and the time of an iteration](gains.png)

## What it costs

| candidate | s / iteration | times the baseline | peak memory, GB | training-only parameters, M | \
GMAC of the method | GMAC of the teacher |
| --- | --- | --- | --- | --- | --- | --- |
{_rows([_cost_row(results[name], baseline) for name in (NO_TEACHER, *gains)])}

Time is the median over windows of {params.training.log_every} iterations, then over seeds, and is compared with the \
baseline's of the same seed; memory is \
{"that of the whole training process" if baseline.gpu_peak_memory_bytes is None else "what was taken on the GPU"}.
Multiply-accumulates are forward, one crop, convolutions and matrix products; the student itself has \
{number(baseline.cost.student_macs / 1e9)} GMAC. The backward pass through the method is extra, the teacher has none.

## Which classes

![Mean gain of each class](classes.png)
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


def _cost_row(result: CandidateResult, baseline: CandidateResult) -> list[str]:
    memory = result.peak_memory_bytes if result.gpu_peak_memory_bytes is None else result.gpu_peak_memory_bytes
    return [
        f"`{result.name}`",
        number(median(result.seconds_per_iteration), 3),
        number(result.times(baseline)),
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
