"""Write the verdict of a comparison: comparison.json, README.md, charts and pictures."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.comparison import charts
from pipeline.comparison.plan import Budget, ComparisonPaths, Trial
from pipeline.comparison.results import CandidateResult, Gain, read_results
from pipeline.data.files import replacing, write_json, write_text
from pipeline.errors import ArtifactError
from pipeline.params.runs import NO_TEACHER
from pipeline.params.sections import Split
from pipeline.params.tree import Params
from pipeline.records.evaluation import miou_scope
from pipeline.reporting.formatting import template_environment

RESOURCES = ("templates",)
PICTURES: dict[str, str] = {"iterations": "gains", "time": "gains_time"}


class Table(NamedTuple):
    """One comparison: all candidates with the same number of iterations, or with the same time."""

    results: dict[str, CandidateResult]
    gains: dict[str, Gain]  # the best first
    per_class: dict[str, dict[str, float | None]]

    @property
    def baseline(self) -> CandidateResult:
        return self.results[NO_TEACHER]

    @property
    def rows(self) -> list[tuple[CandidateResult, Gain | None]]:
        return [(self.baseline, None), *((self.results[name], gain) for name, gain in self.gains.items())]

    @property
    def unlike(self) -> list[str]:
        """Candidates with a seed that was trained in another precision than the baseline's."""
        return [name for name in self.gains if self.results[name].precisions != self.baseline.precisions]

    @property
    def slowdown(self) -> dict[str, float]:
        return {name: self.results[name].slowdown(self.baseline) for name in self.gains}

    @property
    def plain(self) -> dict[str, object]:
        return {
            name: {**_plain(self.results[name]), "gain": gain._asdict(), "gain_per_class": self.per_class[name]}
            for name, gain in self.gains.items()
        }


def write_verdict(
    compared: Mapping[Budget, Sequence[Trial]], diverged: Mapping[str, str], params: Params, split: Split,
    paths: ComparisonPaths,
) -> None:  # fmt: skip
    """Write all results of finished trials into `paths.reports`, the best candidate first, and name diverged ones.

    Costs, classes, curves and pictures are shown only for the first budget that has trials. Raises ArtifactError if a
    trial's file or an image of the split is missing or has changed.
    """
    recipe, confidence = params.comparison.recipe, params.comparison.confidence
    try:
        finished = {budget: trials for budget, trials in compared.items() if trials}
        tables = {budget: _table(trials, split, confidence, paths) for budget, trials in finished.items()}
        main, trials = next(iter(tables.values())), next(iter(finished.values()))
        shown = [NO_TEACHER, *list(main.gains)[: charts.SHOWN]]
        best = [trial for name in shown for trial in trials if trial.candidate == name]
        pictures = {
            **{PICTURES[b]: charts.gains_and_cost(t.gains, t.slowdown, confidence).png for b, t in tables.items()},
            "classes": charts.class_gains(main.per_class).png,
            "training": charts.curves(best, paths).png,
            "examples": charts.examples_png([trial for trial in best if trial.seed == 0], split, paths),
        }
    except ArtifactError as error:
        raise ArtifactError(
            f"{error}. If it is in {paths.trials}, delete the folder of that trial and run the same comparison again"
        ) from error
    for name, png in pictures.items():
        with replacing(paths.reports / f"{name}.png") as temporary:
            temporary.write_bytes(png)
    results = [result for table in tables.values() for result in table.results.values()]
    machines = _distinct([machine for result in results for machine in result.machines])
    precisions = _distinct([precision for result in results for precision in result.precisions])
    shared = {"split": split, "confidence": confidence, "machines": machines}
    record = {"recipe": recipe, **shared, "diverged": dict(diverged), "baseline": _plain(main.baseline)}
    write_json(paths.reports / "comparison.json", {**record, "candidates": {b: t.plain for b, t in tables.items()}})
    options = ["--seeds", str(len(main.baseline.miou)), "--split", split, "--recipe", recipe]
    environment = template_environment(Path(__file__).parent / RESOURCES[0], autoescape=False)
    page = environment.get_template("README.md.j2").render(
        **shared,
        precisions=precisions,
        recipe_name=recipe,
        recipe=params.runs[recipe],
        training=params.training,
        commands=[
            shlex.join(["python", "-m", "pipeline", "compare", *table.gains, *options, "--budget", budget])
            for budget, table in tables.items()
        ],
        seeds=len(main.baseline.miou),
        tables=tables,
        diverged=diverged,
        pictures=PICTURES,
        main=main,
        scope=miou_scope(main.baseline.iou_per_class[0], split),
        shown=shown,
    )
    write_text(paths.reports / "README.md", page)


def _table(trials: Sequence[Trial], split: Split, confidence: float, paths: ComparisonPaths) -> Table:
    results = read_results(trials, split, paths)
    baseline = results[NO_TEACHER]
    gains = {name: result.gain(baseline, confidence) for name, result in results.items() if name != NO_TEACHER}
    gains = dict(sorted(gains.items(), key=lambda item: -item[1].mean))
    return Table(results, gains, {name: results[name].class_gains(baseline) for name in gains})


def _plain(result: CandidateResult) -> dict[str, object]:
    return {key: value for key, value in asdict(result).items() if key not in ("name", "machines")}


def _distinct(values: list[Any]) -> list[Any]:
    return [value for index, value in enumerate(values) if value not in values[:index]]
