"""How every command ends: quietly, or with one message that says what, where and what to do."""

import ctypes
import errno
import signal
import sys
from collections.abc import Callable

from models.errors import ModelError
from pipeline.errors import SegdistillError
from segdistill_runtime.verify import Refused

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
NO_ROOM = {errno.ENOSPC: "No space left", errno.EDQUOT: "The disk quota is used up", errno.EFBIG: "A file is too large"}
NO_RIGHT = {
    errno.EROFS: "The file system is read-only",
    errno.EACCES: "Permission denied",
    errno.EPERM: "Not permitted",
}


def end_with_parent(how: signal.Signals = signal.SIGKILL) -> None:
    """From now on this process gets a signal when the one that started it ends, however that ends. Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, how)


def run_command(main: Callable[[], None]) -> None:
    """Run a command; a project error becomes one message and exit status 1.

    Anything else is a defect of ours and keeps its traceback, except what the machine did: Ctrl-C, no memory, no room.
    """
    try:
        main()
    except (SegdistillError, ModelError, Refused) as error:
        sys.exit(f"\n{type(error).__name__}: {error}")
    except KeyboardInterrupt:
        sys.exit("\nInterrupted. Nothing half-written was kept; the same command goes on from the last checkpoint.")
    except MemoryError:
        sys.exit("\nOut of memory. Lower training.batch_size, the crop or evaluation.batch_size in params.yaml.")
    except OSError as error:
        where = error.filename or "a file"
        if error.errno in NO_ROOM:
            sys.exit(f"\n{NO_ROOM[error.errno]} writing {where}. Free some and run the same command again.")
        if error.errno in NO_RIGHT:
            sys.exit(f"\n{NO_RIGHT[error.errno]}: {where}. Make the folder writable and run the same command again.")
        raise
