"""What is compared: candidates times seeds, all by one recipe."""

from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.errors import SegdistillError
from pipeline.params import Params
from pipeline.params.runs import NO_TEACHER, RunParams


class NothingToCompare(SegdistillError):
    """A comparison that names nothing, something unknown, or lacks what it compares with."""


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where a comparison reads and writes."""

    classes: Path
    samples: Path
    statistics: Path
    teacher: Path
    pretrained: Path  # folder of stage pretrain
    scratch: Path  # states of trainings in progress
    runs: Path  # one folder for each candidate and seed
    reports: Path


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One training: a candidate under one seed."""

    candidate: str
    seed: int
    run: RunParams

    @property
    def name(self) -> str:
        return f"{self.candidate}_seed_{self.seed}"


def with_recipe(params: Params, recipe: str) -> Params:
    """The parameters with another run's recipe to compare by.

    Raises:
        ParamsError: no such run.
        NothingToCompare: one that is no baseline.
    """
    run = params.run(recipe)
    if run.has_teacher or run.prune.prunes:
        raise NothingToCompare(f"--recipe {recipe}: it must be a run without a teacher that prunes nothing")
    return replace(params, comparison=replace(params.comparison, recipe=recipe))


def plan_trials(params: Params, candidates: list[str], seeds: int) -> list[Trial]:
    """The baseline and every candidate, under the seeds 0, 1, ...: seed by seed, so that all have some early.

    Args:
        candidates: keys of `comparison.candidates`, `none` for the baseline; none at all for all of them.

    Raises:
        NothingToCompare: a candidate is unknown.
    """
    known = params.comparison.candidates
    unknown = [name for name in candidates if name not in (*known, NO_TEACHER)]
    if unknown:
        raise NothingToCompare(
            f"no candidate {', '.join(unknown)} in comparison.candidates of params.yaml; "
            f"known are {', '.join((NO_TEACHER, *known))}"
        )
    # In the order of params.yaml, and the baseline in any case: a gain is a difference to it.
    chosen = [NO_TEACHER, *(name for name in known if not candidates or name in candidates)]
    if len(chosen) == 1:
        raise NothingToCompare("there is nothing to compare the baseline with; name one of " + ", ".join(known))
    return [
        Trial(candidate=name, seed=seed, run=replace(_by_recipe(params, name), seed=seed))
        for seed in range(seeds)
        for name in chosen
    ]


def _by_recipe(params: Params, candidate: str) -> RunParams:
    recipe = params.runs[params.comparison.recipe]
    if candidate == NO_TEACHER:
        return recipe
    return replace(recipe, **vars(params.comparison.teaching(candidate)))
