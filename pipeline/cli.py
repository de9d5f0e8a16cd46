"""Run a command, and turn its errors into one message that says what is wrong, where, and what to do."""

import ctypes
import errno
import re
import signal
import sys
from collections.abc import Callable

from models.errors import ModelError
from pipeline.errors import SegdistillError
from segdistill_runtime.errors import lacks_memory
from segdistill_runtime.verify import Refused

CROPS = "training.batch_size, training.crop_height or training.crop_width (or raise training.accumulate)"
LOWER = {
    "": "training.batch_size, training.crop_height, training.crop_width or evaluation.batch_size",
    "curate": "curation.max_megapixels",
    "pretrain": "pretraining.batch_size, pretraining.crop_height or pretraining.crop_width",
    "teacher": CROPS,
    "student": CROPS,
    "evaluate": "evaluation.batch_size",
    "inspect": "evaluation.batch_size",
    "export": "export.height, export.width or export.other_shapes",
    "quantize": "quantization.calibration_images or quantization.judged_images",
    "benchmark": "export.height, export.width, export.other_shapes or benchmark.images",
}
"""The parameters to lower if a stage, or a command (the empty name), runs out of memory."""
EXTRA_OF = {"fiftyone": "inspect", "pymongo": "inspect"}
"""Optional packages, each with its extra in pyproject.toml; runtimes have their own messages."""
HELP = "docs/troubleshooting.md"  # explains each kind of error
PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
NO_ROOM = {errno.ENOSPC: "No space left", errno.EDQUOT: "The disk quota is used up", errno.EFBIG: "A file is too large"}
NO_GPU = re.compile(
    r"no kernel image|driver version is insufficient|no CUDA-capable device|no NVIDIA driver|busy or unavailable"
)
"""CUDA's messages about a GPU that PyTorch finds but cannot use: too old, without its driver, or busy."""
NO_RIGHT = {
    errno.EROFS: "The file system is read-only",
    errno.EACCES: "Permission denied",
    errno.EPERM: "Not permitted",
}


def end_with_parent(how: signal.Signals = signal.SIGKILL) -> None:
    """Let this process get a signal when its parent ends, even if the parent is killed. Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, how)


def run_command(main: Callable[[], None], stage: str = "") -> None:
    """Run a command; a project error becomes one message and exit status 1.

    Any other error is a defect of the project and keeps its traceback. Exceptions are Ctrl-C, a package that is not
    installed, and errors of the machine: no memory, no usable GPU, no disk space, no permission.

    Args:
        stage: name of the stage, for the parameters to lower if memory runs out.
    """
    try:
        main()
    except (SegdistillError, ModelError, Refused) as error:
        kind = type(error).__name__
        sys.exit(f"\n{kind}: {error}\nHelp: {HELP}#{kind.lower()}")
    except KeyboardInterrupt:
        sys.exit("\nInterrupted (Ctrl-C). Nothing half-written was kept. Repeat it to resume from the last checkpoint.")
    except Exception as error:
        if extra := missing_extra(error):
            sys.exit(f"\nThis needs packages that are not installed here: run `make setup EXTRAS={extra}`.")
        if lacks_memory(error):
            of_gpu = "GPU " if "CUDA" in str(error) else ""
            sys.exit(f"\nOut of {of_gpu}memory. In params.yaml lower {LOWER.get(stage, LOWER[''])}.")
        if NO_GPU.search(said := str(error).partition("\n")[0]):
            sys.exit(f"\nThe GPU cannot be used: {said}. Update its driver, or hide it with CUDA_VISIBLE_DEVICES=''.")
        code, where = getattr(error, "errno", None), getattr(error, "filename", None) or "a file"
        if code in NO_ROOM:
            why = f"{NO_ROOM[code]} writing {where} ({errno.errorcode[code]})"
            sys.exit(f"\n{why}. Free some space and run the same command again.")
        if code in NO_RIGHT:
            why = f"{NO_RIGHT[code]}: {where} ({errno.errorcode[code]})"
            sys.exit(f"\n{why}. Make the folder writable and run the same command again.")
        raise


def missing_extra(error: BaseException) -> str:
    """Return the extra of the package that could not be imported; empty for any other error."""
    name = error.name if isinstance(error, ModuleNotFoundError) else None
    return EXTRA_OF.get((name or "").partition(".")[0], "")
