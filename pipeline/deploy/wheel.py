"""Build the wheel of segdistill_runtime that a bundle carries; the same sources always give the same bytes."""

import os
import shutil
import tempfile
import tomllib
from pathlib import Path

from flit_core.wheel import make_wheel_in

PACKAGE = Path(__file__).parents[2] / "segdistill_runtime"
RESOURCES = ["../../segdistill_runtime"]
"""Everything in it goes into a bundle, imported here or not."""

FIRST_DATE = "315532800"  # 1980-01-01, the earliest that a zip file can hold


def build_wheel(out: Path) -> Path:
    """Write the wheel into the folder `out`; returns its path."""
    before = os.environ.get("SOURCE_DATE_EPOCH")
    os.environ["SOURCE_DATE_EPOCH"] = FIRST_DATE
    try:
        with tempfile.TemporaryDirectory() as folder:
            sources = Path(folder) / PACKAGE.name
            shutil.copytree(PACKAGE, sources, ignore=shutil.ignore_patterns("__pycache__", "bundle_files"))
            shutil.move(sources / "pyproject.toml", folder)
            return make_wheel_in(Path(folder) / "pyproject.toml", out).file
    finally:
        os.environ.pop("SOURCE_DATE_EPOCH")
        if before is not None:
            os.environ["SOURCE_DATE_EPOCH"] = before


def runtime_version() -> str:
    return tomllib.loads((PACKAGE / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
