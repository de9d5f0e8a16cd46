"""What DVC compares to know whether a stage has to run again: its resolved parameters and a digest of its code."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic_core import to_jsonable_python

from pipeline.data.files import replacing
from pipeline.dvc_file import check_dvc_file
from pipeline.params.tree import load_params
from pipeline.stage_table import Stage, check_methods, stage_table


def resolve_stages(profile: Path, out: Path) -> None:
    """Write `out`: a mapping from each stage's name to what it depends on, besides files.

    Raises:
        ParamsError: params.yaml is wrong, in sections that no stage reads too, or dvc.yaml does not fit it.
    """
    params = load_params(profile / "params.yaml")
    check_methods(params)
    check_dvc_file(profile)
    with replacing(out) as temporary:
        resolved = {stage.name: resolved_stage(stage) for stage in stage_table(params)}
        temporary.write_text(json.dumps(resolved, indent=1) + "\n", encoding="utf-8")


def resolved_stage(stage: Stage) -> dict[str, Any]:
    """Return a stage's parameters as plain values, without those that change nothing, and its code's digest."""
    settings = to_jsonable_python(dict(stage.settings))
    for path in stage.untracked:
        *sections, key = path.split(".")
        section: Mapping[str, Any] = settings
        for name in sections:
            section = section[name]
        del section[key]  # type: ignore[attr-defined]
    return {"code": stage.code_digest, **settings}
