"""The trials of a comparison: every candidate with every seed, all with one recipe."""

from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.errors import ParamsError
from pipeline.params.runs import NO_TEACHER, RunParams
from pipeline.params.tree import Params


@dataclass(frozen=True, kw_only=True)
class ComparisonPaths:
    """Where a comparison reads and writes."""

    classes: Path
    samples: Path
    statistics: Path
    teacher: Path
    pretrained: Path  # folder of stage pretrain
    scratch: Path  # states of trainings in progress
    trials: Path  # one folder for each trial
    reports: Path


@dataclass(frozen=True, kw_only=True)
class Trial:
    """The unit of work: one candidate trained with one seed, and evaluated."""

    candidate: str
    seed: int
    run: RunParams

    @property
    def name(self) -> str:
        return f"{self.candidate}_seed_{self.seed}"


def with_recipe(params: Params, recipe: str) -> Params:
    """Return the parameters with another run's recipe to compare by.

    Raises:
        ParamsError: there is no such run, or it is not a baseline.
    """
    run = params.run(recipe)
    if run.has_teacher or run.prune.prunes:
        raise ParamsError(f"--recipe {recipe}: name a run without a teacher and without pruning")
    return replace(params, comparison=replace(params.comparison, recipe=recipe))


def plan_trials(params: Params, candidates: list[str], seeds: int) -> list[Trial]:
    """List the baseline and every candidate with the seeds 0, 1, ...: seed by seed, so that all have some early.

    Args:
        candidates: names of candidates, or `none` for the baseline; empty for all.

    Raises:
        ParamsError: a candidate is unknown, none is left beside the baseline, or there is no baseline.
    """
    known = params.comparison.candidates
    unknown = [name for name in candidates if name not in (*known, NO_TEACHER)]
    if unknown:
        raise ParamsError(
            f"no candidate {', '.join(unknown)}; "
            f"known are {', '.join((NO_TEACHER, *known))}; add others to comparison.candidates of params.yaml"
        )
    chosen = [name for name in known if not candidates or name in candidates]
    if not chosen:
        raise ParamsError(f"the baseline needs a candidate to compare with: name one of {', '.join(known)}")
    recipe = params.run(params.comparison.recipe)
    runs = {NO_TEACHER: recipe, **{name: replace(recipe, **vars(known[name])) for name in chosen}}
    return [
        Trial(candidate=name, seed=seed, run=replace(run, seed=seed))
        for seed in range(seeds)
        for name, run in runs.items()
    ]
