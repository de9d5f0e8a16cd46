"""Work of a comparison in processes of its own; they import no charts and no statistics."""

import json
import multiprocessing
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from pipeline.cli import end_with_parent
from pipeline.comparison.plan import ComparisonPaths, Trial
from pipeline.errors import SegdistillError, TrainingError
from pipeline.params.runs import NO_TEACHER
from pipeline.params.tree import Params


def in_process(
    work: Callable[..., Any], trial: Trial, params: Params, paths: ComparisonPaths, *more: Any,
    name: str, failed: dict[str, SegdistillError],
) -> Any:  # fmt: skip
    """Do `work` for a trial in its own process, and append the process's output to the log of this name.

    Returns its result. An error goes into `failed`. Raises TrainingError at once if the baseline failed, or if the
    process was killed.
    """
    log = paths.trials / "logs" / f"{name}.log"
    sent = json.dumps(asdict(params))  # the classes of curation's rules cannot be pickled
    context = multiprocessing.get_context("spawn")  # a fork would start with this process's memory
    with ProcessPoolExecutor(max_workers=1, mp_context=context, initializer=end_with_parent) as pool:
        try:
            return pool.submit(_logged, log, work, trial, sent, paths, *more).result()
        except SegdistillError as error:
            failed[trial.candidate] = type(error)(f"{name}: {error} (log: {log})")
            if trial.candidate == NO_TEACHER:
                raise TrainingError(str(failed[trial.candidate])) from error
            print(failed[trial.candidate], file=sys.stderr)
        except BrokenProcessPool as error:
            raise TrainingError(
                f"{name}: its process was killed, most likely because memory ran out (log: {log}). "
                f"Finished trials are kept: run the same command again"
            ) from error


def _logged(log: Path, work: Callable[..., Any], trial: Trial, params: str, paths: ComparisonPaths, *more: Any) -> Any:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as text, redirect_stdout(text), redirect_stderr(text):
        return work(trial, TypeAdapter(Params).validate_json(params), paths, *more)
