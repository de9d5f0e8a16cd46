from typing import Any

import pytest

from pipeline.inspection.records import InspectedSample
from pipeline.inspection.views import View, members, value_of, views_of
from tests.inspection.samples import UNMEASURED, sample, scores


def with_runs(name: str, gain: float | None, agreement: float, **changes: Any) -> InspectedSample:
    networks = {
        "teacher": scores(agreement=None),
        "plain": scores(agreement=0.5),
        "distilled": scores(gain=gain, agreement=agreement),
    }
    return sample(id=name, networks=networks, **changes)


SAMPLES = [
    with_runs("a", 0.125, 0.75, hardness=0.5, mistake_score=0.0),
    with_runs("b", -0.25, 0.5, hardness=0.75, mistake_score=0.25),
    with_runs("c", 0.5, 1.0, hardness=0.25, mistake_score=0.5),
    with_runs("d", 0.0, 0.25, hardness=0.5, mistake_score=0.125),
    with_runs("unlabelled", None, 0.0, hardness=1.0, mistake_score=None),
    sample(id="dropped", decision="drop", **UNMEASURED),
]


def names(view: View, samples: list[InspectedSample]) -> list[str]:
    return [member.id for member in members(view, samples)]


def test_the_views_and_their_samples_in_order() -> None:
    assert {view.name: names(view, SAMPLES) for view in views_of(SAMPLES)} == {
        "hardest": ["unlabelled", "b", "a", "d", "c"],  # of equals the first in the list
        "likely mislabelled": ["c", "b", "d"],  # not where nothing was found
        "plain: unlike the teacher": ["a", "b", "c", "d", "unlabelled"],  # a baseline gains nothing
        "distilled: most gained": ["c", "a"],
        "distilled: most lost": ["b"],
        "distilled: unlike the teacher": ["unlabelled", "d", "b", "a", "c"],
        "rejected": ["dropped"],
    }


def test_names_are_unique() -> None:
    views = views_of(SAMPLES)
    assert len({view.name for view in views}) == len(views)


def test_a_view_with_nothing_to_show_is_none() -> None:
    assert views_of([]) == []
    assert [view.name for view in views_of([sample(id="x", mistake_score=0.0)])] == ["hardest"]
    assert [view.name for view in views_of(SAMPLES[-1:])] == ["rejected"]


@pytest.mark.parametrize("run", ["plain", "distilled"])
def test_a_sample_that_was_not_evaluated_is_in_no_view_of_a_run(run: str) -> None:
    view = next(view for view in views_of(SAMPLES) if view.run == run)
    outside = sample(id="train_1", networks={"teacher": scores()})
    assert value_of(view, outside) is None
    assert "train_1" not in names(view, [*SAMPLES, outside])


def test_values() -> None:
    values = {view.name: value_of(view, SAMPLES[1]) for view in views_of(SAMPLES)}
    assert values == {
        "hardest": 0.75,
        "likely mislabelled": 0.25,
        "plain: unlike the teacher": 0.5,
        "distilled: most gained": -0.25,
        "distilled: most lost": -0.25,
        "distilled: unlike the teacher": 0.5,
        "rejected": None,  # it has a decision and no number
    }
