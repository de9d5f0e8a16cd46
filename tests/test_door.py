"""Stages end quietly or with one message."""

import pytest

from models.errors import ModelError
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
        (OSError(28, "No space left on device", "x.bin"), "No space left writing x.bin"),
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
