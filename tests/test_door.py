"""Stages end quietly or with one message."""

import errno
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
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


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's signal at a parent's death is Linux's")
@pytest.mark.parametrize("ends", [True, False])
def test_a_child_ends_with_its_parent_if_it_says_so(ends: bool) -> None:
    """Killed, not asked: a comparison that ran out of memory must not leave its training behind."""
    child = (
        f"import time; from pipeline.door import end_with_parent; {ends} and end_with_parent(); print(0, flush=True)"
    )
    parent = f"import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', '''{child}; time.sleep(60)'''], \
stdout=subprocess.PIPE); p.stdout.readline(); print(p.pid, flush=True); p.wait()"
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        process.kill()
    try:
        assert _gone_within(pid, 5.0 if ends else 0.5) is ends
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _gone_within(pid: int, seconds: float) -> bool:
    """A dead process whose new parent has not asked for it yet counts as gone."""
    for _ in range(int(seconds / 0.05)):
        state = Path(f"/proc/{pid}/stat")
        if not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.05)
    return False
