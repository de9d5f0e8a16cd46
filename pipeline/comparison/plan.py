"""The trials of a comparison: every candidate with every seed, all with one recipe."""

from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple

from pipeline.comparison.candidates import candidates_of
from pipeline.errors import ParamsError
from pipeline.params.runs import NO_TEACHER, RunParams
from pipeline.params.tree import Params

Budget = Literal["iterations", "time"]
"""What is the same for all candidates of a comparison."""


class ComparisonPaths(NamedTuple):
    """The paths that a comparison reads and writes."""

    classes: Path
    samples: Path
    statistics: Path
    teacher: Path
    pretrained: Path  # folder of stage pretrain
    scratch: Path  # states of trainings in progress
    trials: Path  # one folder for each trial
    reports: Path


class Trial(NamedTuple):
    """The unit of work: one candidate trained with one seed, and evaluated."""

    candidate: str
    seed: int
    run: RunParams
    in_equal_time: bool = False  # trains for the baseline's time instead of its number of iterations

    @property
    def name(self) -> str:
        return f"{self.candidate}_seed_{self.seed}{'_time' if self.in_equal_time else ''}"


def with_recipe(params: Params, recipe: str) -> Params:
    """Return the parameters with another run's recipe for the comparison; raise ParamsError if it is no baseline."""
    run = params.run(recipe)
    if run.has_teacher or run.prune.prunes:
        raise ParamsError(f"--recipe {recipe}: name a run without a teacher and without pruning")
    return replace(params, comparison=replace(params.comparison, recipe=recipe))


def plan_trials(params: Params, candidates: list[str], seeds: int) -> list[Trial]:
    """Return the trials of the baseline and of the named candidates, or all.

    They are ordered by seed, so that every candidate has results early. Raises ParamsError if a candidate is unknown,
    or if none is left besides the baseline.
    """
    known = candidates_of(params)
    unknown = [name for name in candidates if name not in (*known, NO_TEACHER)]
    if unknown:
        raise ParamsError(
            f"unknown candidate: {', '.join(unknown)}. "
            f"Known are {', '.join((NO_TEACHER, *known))}; add others to comparison.candidates in params.yaml"
        )
    chosen = [name for name in known if not candidates or name in candidates]
    if not chosen:
        raise ParamsError(f"{NO_TEACHER!r} is the baseline; name a candidate to compare with it: {', '.join(known)}")
    recipe = params.run(params.comparison.recipe)
    runs = {NO_TEACHER: recipe, **{name: replace(recipe, **vars(known[name])) for name in chosen}}
    return [Trial(name, seed, replace(run, seed=seed)) for seed in range(seeds) for name, run in runs.items()]
