"""Write dvc.yaml from params.yaml, and check that the two fit.

The file is written, and not templated, because a template cannot give one run a dependency that another lacks.
"""

import argparse
import os
from collections.abc import Iterator
from pathlib import Path

from pipeline.code_digest import ROOT
from pipeline.errors import ParamsError
from pipeline.params.tree import load_params
from pipeline.stage_table import Stage, stage_table

RESOLVED = "artifacts/resolved.json"
CODE = ("models", "pipeline", "segdistill_runtime", "stages")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--check", action="store_true", help="write nothing; fail if dvc.yaml does not fit params.yaml")


def run(arguments: argparse.Namespace) -> None:
    """Write or check dvc.yaml in the working directory."""
    if arguments.check:
        check_dvc_file(Path())
    else:
        Path("dvc.yaml").write_text(dvc_file(Path()), encoding="utf-8")


def check_dvc_file(profile: Path) -> None:
    """Raise ParamsError if a profile's dvc.yaml is not what its params.yaml asks for."""
    path = profile / "dvc.yaml"
    if not path.is_file() or path.read_text(encoding="utf-8") != dvc_file(profile):
        raise ParamsError(f"{path} does not fit params.yaml; run `python -m pipeline stages`, then `dvc repro`")


def dvc_file(profile: Path) -> str:
    """Return the text of a profile's dvc.yaml."""
    root = Path(os.path.relpath(ROOT, profile.resolve())).as_posix()
    params = load_params(profile / "params.yaml")
    lines = [
        "# Written from params.yaml by `python -m pipeline stages`. Edit params.yaml, not this file.",
        "stages:",
        "  resolve:",
        f"    cmd: {_command(root, 'resolve')}",
        "    deps:",
        "      - params.yaml",
        *(f"      - {(Path(root) / folder).as_posix()}" for folder in CODE),
        "    outs:",
        f"      - {RESOLVED}",
    ]
    for stage in stage_table(params):
        lines += ["", *_stage_lines(stage, root)]
    lines += ["", "artifacts:  # what `python -m pipeline publish` gives versions"]
    for name in params.runs:
        lines += [f"  {name}:", f"    path: artifacts/release/{name}", "    type: model"]
    return "\n".join(lines) + "\n"


def _stage_lines(stage: Stage, root: str) -> Iterator[str]:
    yield f"  {stage.name}:"
    yield f"    cmd: {_command(root, stage.script, stage.run)}"
    yield "    params:"
    yield f"      - {RESOLVED}: [{stage.name}]"
    if stage.deps:
        yield "    deps:"
        yield from (f"      - {dep}" for dep in stage.deps)
    outs = [(out, True) for out in stage.outs] + [(out, False) for out in stage.metrics]
    files = [(out, cached) for out, cached in outs if cached or not out.endswith(".json")]
    if files:
        yield "    outs:"
        for out, cached in files:
            yield f"      - {out}" if cached else f"      - {out}: {{cache: false}}"
    metrics = [out for out, cached in outs if not cached and out.endswith(".json")]
    if metrics:
        yield "    metrics:"
        yield from (f"      - {out}: {{cache: false}}" for out in metrics)


def _command(root: str, script: str, run: str = "") -> str:
    return f"PYTHONPATH={root} python -u -m stages.{script} {run}".rstrip()
