"""Write the verdict of a comparison: comparison.json, README.md, charts and pictures."""

import shlex
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from pipeline.comparison import charts
from pipeline.comparison.plan import ComparisonPaths, Trial
from pipeline.comparison.results import CandidateResult, read_results
from pipeline.data.files import replacing, write_json, write_text
from pipeline.errors import ArtifactError
from pipeline.params.runs import NO_TEACHER
from pipeline.params.sections import Split
from pipeline.params.tree import Params
from pipeline.records.evaluation import miou_scope
from pipeline.reporting.formatting import template_environment

RESOURCES = ("templates",)


def write_verdict(trials: Sequence[Trial], params: Params, split: Split, paths: ComparisonPaths) -> None:
    """Write everything about these finished trials into `paths.reports`, the best candidate first.

    Raises ArtifactError if a trial's file or an image of the split is missing or has changed.
    """
    recipe = params.comparison.recipe
    try:
        results = read_results(trials, split, paths)
        baseline, confidence = results[NO_TEACHER], params.comparison.confidence
        gains = {name: result.gain(baseline, confidence) for name, result in results.items() if name != NO_TEACHER}
        gains = dict(sorted(gains.items(), key=lambda item: -item[1].mean))
        per_class = {name: results[name].class_gains(baseline) for name in gains}
        shown = [NO_TEACHER, *list(gains)[: charts.SHOWN]]
        best = [trial for name in shown for trial in trials if trial.candidate == name]
        slowdown = {name: results[name].slowdown(baseline) for name in gains}
        pictures = {
            "gains": charts.gains_and_cost(gains, slowdown, confidence).png,
            "classes": charts.class_gains(per_class).png,
            "training": charts.curves(best, paths).png,
            "examples": charts.examples_png([trial for trial in best if trial.seed == 0], split, paths),
        }
    except ArtifactError as error:
        raise ArtifactError(
            f"{error}. If it lies in {paths.trials}, delete the folder of that trial and run the same comparison again"
        ) from error
    for name, png in pictures.items():
        with replacing(paths.reports / f"{name}.png") as temporary:
            temporary.write_bytes(png)
    every = [machine for result in results.values() for machine in result.machines]
    machines = [machine for index, machine in enumerate(every) if machine not in every[:index]]
    candidates = {
        name: {**_plain(results[name]), "gain": gain._asdict(), "gain_per_class": per_class[name]}
        for name, gain in gains.items()
    }
    shared = {"split": split, "confidence": confidence, "machines": machines}
    record = {"recipe": recipe, **shared, "baseline": _plain(baseline), "candidates": candidates}
    write_json(paths.reports / "comparison.json", record)
    options = ["--seeds", str(len(baseline.miou)), "--split", split, "--recipe", recipe]
    environment = template_environment(Path(__file__).parent / RESOURCES[0], autoescape=False)
    page = environment.get_template("README.md.j2").render(
        **shared,
        recipe_name=recipe,
        recipe=params.runs[recipe],
        training=params.training,
        command=shlex.join(["python", "-m", "pipeline", "compare", *gains, *options]),
        seeds=len(baseline.miou),
        gains=gains,
        rows=[(results[candidate], gains.get(candidate)) for candidate in (NO_TEACHER, *gains)],
        baseline=baseline,
        scope=miou_scope(baseline.iou_per_class[0], split),
        shown=shown,
    )
    write_text(paths.reports / "README.md", page)


def _plain(result: CandidateResult) -> dict[str, object]:
    return {key: value for key, value in asdict(result).items() if key not in ("name", "machines")}
