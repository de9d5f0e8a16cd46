"""Write dvc.yaml from params.yaml, and check that the two fit.

The file has no DVC templating, because a template cannot give one run a dependency that another run lacks.
"""

import argparse
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic_core import to_jsonable_python

from pipeline.code_digest import PACKAGES, ROOT
from pipeline.data.files import write_text
from pipeline.errors import ParamsError
from pipeline.params.tree import load_params
from pipeline.stage_table import Stage, method_settings, stage_table

RESOLVED = "artifacts/resolved.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--check", action="store_true", help="write nothing; fail if dvc.yaml does not fit params.yaml")


def run(arguments: argparse.Namespace) -> None:
    if arguments.check:
        check_dvc_file(Path())
    else:
        Path("dvc.yaml").write_text(dvc_file(Path()), encoding="utf-8")


def resolve_stages(profile: Path, out: Path) -> None:
    """Write what each stage depends on besides files; DVC compares it to decide whether a stage must run again.

    Raises ParamsError if params.yaml is wrong, even in sections that no stage reads, or if dvc.yaml does not fit it.
    """
    params = load_params(profile / "params.yaml")
    method_settings(params, params.methods)  # also checks methods that no run uses
    check_dvc_file(profile)
    resolved = {stage.name: resolved_stage(stage) for stage in stage_table(params)}
    write_text(out, json.dumps(resolved, indent=1) + "\n")


def resolved_stage(stage: Stage) -> dict[str, Any]:
    """Return a stage's parameters as plain values, without those that change nothing, and its code's digest."""
    return {"code": stage.code_digest, **to_jsonable_python(dict(stage.settings), exclude=dict(stage.untracked))}


def check_dvc_file(profile: Path) -> None:
    """Raise ParamsError if a profile's dvc.yaml does not fit its params.yaml."""
    path = profile / "dvc.yaml"
    if not path.is_file() or path.read_text(encoding="utf-8") != dvc_file(profile):
        raise ParamsError(f"{path} does not fit params.yaml; run `python -m pipeline stages`, then `dvc repro`")


def dvc_file(profile: Path) -> str:
    """Return the text of a profile's dvc.yaml."""
    root = Path(os.path.relpath(ROOT, profile.resolve()))
    params = load_params(profile / "params.yaml")
    lines = [
        "# Written from params.yaml by `python -m pipeline stages`. Edit params.yaml, not this file.",
        "stages:",
        "  resolve:",
        f"    cmd: PYTHONPATH={root.as_posix()} python -u -m stages.resolve",
        *_list("deps", ["params.yaml", *((root / package).as_posix() for package in PACKAGES)]),
        *_list("outs", [RESOLVED]),
    ]
    for stage in stage_table(params):
        metrics = [path for path in stage.metrics if path.endswith(".json")]
        folders = [path for path in stage.metrics if path not in metrics]
        lines += [
            "",
            f"  {stage.name}:",
            f"    cmd: PYTHONPATH={root.as_posix()} python -u -m stages.{stage.script} {stage.run}".rstrip(),
            *_list("params", [f"{RESOLVED}: [{stage.name}]"]),
            *_list("deps", stage.deps),
            *_list("outs", [*stage.outs, *(f"{path}: {{cache: false}}" for path in folders)]),
            *_list("metrics", [f"{path}: {{cache: false}}" for path in metrics]),
        ]
    lines += ["", "artifacts:  # what `python -m pipeline publish` gives versions"]
    for name in params.runs:
        lines += [f"  {name}:", f"    path: artifacts/release/{name}", "    type: model"]
    trained = {
        "artifacts/teacher": params.teacher_training,
        **{f"artifacts/students/{name}": params.training for name in params.runs},
    }
    scored = [folder for folder, training in trained.items() if training.validate_every]
    lines += ["", "plots:  # `dvc plots show`"]
    for title, file, column, folders in (("loss", "training", "total", trained), ("val", "validation", "miou", scored)):
        if folders:
            lines += [f"  - {title}:", "      x: iteration", "      y:"]
            lines += [f"        {folder}/{file}.csv: {column}" for folder in folders]
    return "\n".join(lines) + "\n"


def _list(key: str, entries: Iterable[str]) -> list[str]:
    lines = [f"      - {entry}" for entry in entries]
    return [f"    {key}:", *lines] if lines else []
