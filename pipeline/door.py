"""How every command ends: quietly, or with one message that says what, where and what to do."""

import sys
from collections.abc import Callable

from models.errors import ModelError
from pipeline.errors import SegdistillError

NO_SPACE = 28


def run_command(main: Callable[[], None]) -> None:
    """Run a command; a project error becomes one message and exit status 1.

    Anything else is a defect of ours and keeps its traceback, except what the machine did: Ctrl-C, no memory, no space.
    """
    try:
        main()
    except (SegdistillError, ModelError) as error:
        sys.exit(f"\n{type(error).__name__}: {error}")
    except KeyboardInterrupt:
        sys.exit("\nInterrupted. Nothing half-written was kept; the same command goes on from the last checkpoint.")
    except MemoryError:
        sys.exit("\nOut of memory. Lower training.batch_size, the crop or evaluation.batch_size in params.yaml.")
    except OSError as error:
        if error.errno != NO_SPACE:
            raise
        sys.exit(f"\nNo space left writing {error.filename or 'a file'}. Free some and run the same command again.")
