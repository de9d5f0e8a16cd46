"""Curves and examples of a comparison, made from files as trials leave them."""

from collections.abc import Mapping

import numpy as np
import pytest
from PIL import Image

from pipeline.code_digest import ROOT
from pipeline.comparison.charts import curves, examples_png
from pipeline.comparison.plan import ComparisonPaths, Trial, plan_trials
from pipeline.data.classes import ClassTable
from pipeline.data.files import write_text
from pipeline.data.images import write_mask
from pipeline.data.samples import read_samples
from pipeline.errors import ArtifactError
from pipeline.params.tree import load_params
from pipeline.training.loop import write_curve
from tests.raising import raises


def _trials(candidates: list[str], seeds: int) -> list[Trial]:
    return plan_trials(load_params(ROOT / "params.yaml"), candidates, seeds)


def _judged(trial: Trial, paths: ComparisonPaths, scores: Mapping[str, float], train_id: int) -> None:
    folder = paths.trials / trial.name / "val"
    write_text(folder / "per_image.csv", "\n".join(["id,miou", *(f"{name},{score}" for name, score in scores.items())]))
    for sample in read_samples(paths.samples, "val"):
        with Image.open(sample.image) as image:
            shape = image.height, image.width
        (folder / "predictions").mkdir(exist_ok=True)
        write_mask(folder / "predictions" / f"{sample.id}.png", np.full(shape, train_id, np.uint8))


def test_the_rows_are_where_the_first_candidate_gains_most_and_least(
    paths: ComparisonPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [sample.id for sample in read_samples(paths.samples, "val")]
    none, first, second = _trials(["kd", "cwd"], 1)
    _judged(none, paths, dict.fromkeys(ids, 0.5), 0)
    _judged(first, paths, {name: 0.4 + 0.1 * place for place, name in enumerate(ids)}, 1)
    _judged(second, paths, {name: 0.9 - 0.1 * place for place, name in enumerate(ids)}, 2)
    drawn = []
    monkeypatch.setattr("pipeline.comparison.charts.grid_png", lambda rows, _: drawn.extend(rows) or b"")
    examples_png([none, first, second], "val", paths)
    assert [(row.kind, row.id) for row in drawn] == [("best", ids[1]), ("worst", ids[0])]
    assert [panel.title for panel in drawn[0].panels] == ["image", "labels", "none", first.candidate, second.candidate]
    colors = ClassTable.load(paths.classes).palette()
    assert [tuple(panel.picture[0, 0]) for panel in drawn[0].panels[2:]] == [tuple(color) for color in colors[:3]]


def test_a_missing_prediction_is_named(paths: ComparisonPaths) -> None:
    trials = _trials(["kd"], 1)
    for trial in trials:
        _judged(trial, paths, {sample.id: 0.5 for sample in read_samples(paths.samples, "val")}, 0)
    for prediction in (paths.trials / trials[1].name / "val/predictions").iterdir():
        prediction.unlink()
    with raises(ArtifactError, "kd_seed_0/val/predictions"):
        examples_png(trials, "val", paths)


def test_a_curve_is_the_mean_of_its_seeds(paths: ComparisonPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    trials = _trials(["kd"], 2)
    for trial in trials:
        taught = {} if trial.candidate == "none" else {"distill": 4.0 + trial.seed, "agreement": 0.5 + 0.1 * trial.seed}
        rows = [{"iteration": step, "task": 1.0 + 2 * trial.seed, **taught} for step in (10, 20)]
        write_curve(paths.trials / trial.name / "training.csv", rows)
    drawn = {}
    monkeypatch.setattr("pipeline.comparison.charts.training", lambda means, colors: drawn.update(means) or colors)
    colors = curves(trials, paths)
    assert set(colors) == set(drawn) == {"none", "kd"}
    assert drawn["none"].task.tolist() == drawn["kd"].task.tolist() == [2.0, 2.0]
    assert drawn["none"].distill is None
    assert drawn["kd"].distill.tolist() == [4.5, 4.5]
    np.testing.assert_allclose(drawn["kd"].agreement, [0.55, 0.55])
    assert drawn["kd"].iteration.tolist() == [10, 20]
