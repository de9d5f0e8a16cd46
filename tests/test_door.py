"""Stages end quietly or with one message."""

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from models.errors import ModelError
from pipeline.comparison.code import ROOT
from pipeline.door import run_command
from pipeline.errors import SegdistillError


@pytest.mark.parametrize("error", [SegdistillError("what, where, what to do"), ModelError("what, where, what to do")])
def test_a_project_error_is_one_message(error: Exception) -> None:
    def main() -> None:
        raise error

    with pytest.raises(SystemExit, match="Error: what, where, what to do"):
        run_command(main)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (KeyboardInterrupt(), "Interrupted"),
        (MemoryError(), "Lower training.batch_size"),
        (OSError(errno.ENOSPC, "", "x.bin"), "No space left writing x.bin"),
        (OSError(errno.EDQUOT, "", "x.bin"), "The disk quota is used up writing x.bin"),
        (OSError(errno.EROFS, "", "x.bin"), "The file system is read-only: x.bin. Make the folder writable"),
        (OSError(errno.EACCES, "", "x.bin"), "Permission denied: x.bin"),
    ],
)
def test_what_the_machine_did_is_said(error: BaseException, message: str) -> None:
    def main() -> None:
        raise error

    with pytest.raises(SystemExit, match=message):
        run_command(main)


def test_a_defect_of_ours_keeps_its_traceback() -> None:
    def main() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_command(main)


@pytest.mark.parametrize("stage", ["prepare", "curate", "teacher", "inspect", "report"])
def test_a_stage_ends_with_one_message(stage: str, tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", f"stages.{stage}"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert result.stderr.strip().startswith("ParamsError: cannot read ")
    assert "Traceback" not in result.stderr
