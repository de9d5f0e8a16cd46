"""The trials of a comparison: every candidate with every seed, all with one recipe."""

from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple

from pipeline.comparison.candidates import candidates_of
from pipeline.errors import ParamsError
from pipeline.params.runs import NO_TEACHER, RunParams
from pipeline.params.tree import Params

Budget = Literal["iterations", "time"]
"""What all candidates of a comparison get alike."""


class ComparisonPaths(NamedTuple):
    """Where a comparison reads and writes."""

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
    in_equal_time: bool = False  # it learns for as long as the baseline, instead of for as many iterations

    @property
    def name(self) -> str:
        return f"{self.candidate}_seed_{self.seed}{'_time' if self.in_equal_time else ''}"


def with_recipe(params: Params, recipe: str) -> Params:
    """Return the parameters with another run's recipe to compare by; raises ParamsError if that is no baseline."""
    run = params.run(recipe)
    if run.has_teacher or run.prune.prunes:
        raise ParamsError(f"--recipe {recipe}: name a run without a teacher and without pruning")
    return replace(params, comparison=replace(params.comparison, recipe=recipe))


def plan_trials(params: Params, candidates: list[str], seeds: int) -> list[Trial]:
    """List the baseline and the named candidates, or all, seed by seed, so that all have some early.

    Raises ParamsError if a candidate is unknown, or none is left beside the baseline.
    """
    known = candidates_of(params)
    unknown = [name for name in candidates if name not in (*known, NO_TEACHER)]
    if unknown:
        raise ParamsError(
            f"no candidate {', '.join(unknown)}; "
            f"known are {', '.join((NO_TEACHER, *known))}; add others to comparison.candidates of params.yaml"
        )
    chosen = [name for name in known if not candidates or name in candidates]
    if not chosen:
        raise ParamsError(f"{NO_TEACHER!r} is the baseline; name a candidate to compare with it: {', '.join(known)}")
    recipe = params.run(params.comparison.recipe)
    runs = {NO_TEACHER: recipe, **{name: replace(recipe, **vars(known[name])) for name in chosen}}
    return [Trial(name, seed, replace(run, seed=seed)) for seed in range(seeds) for name, run in runs.items()]
