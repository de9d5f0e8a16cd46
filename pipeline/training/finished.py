"""Keep a finished training from being lost: its last state stays in scratch until dvc.lock has the output.

DVC removes a stage's outputs before it runs the stage. It knows new outputs only when it has hashed them, copied them
into its cache and written dvc.lock. If that fails (another dvc command holds the lock, the disk is full, DVC is
killed), DVC runs the stage again, and the kept state gives the same result in seconds.
"""

import hashlib
import json
import shutil
from contextlib import suppress
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.data.files import write_text

RESULT = "result.txt"


def note_result(folder: Path, out: Path) -> None:
    """Write DVC's name of a training's output into the folder of its state; call it when all outputs are written."""
    write_text(folder / RESULT, _line(out.as_posix(), dvc_name(out)))


def drop_known(scratch: Path, lock: Path) -> None:
    """Remove the states whose results are in dvc.lock: DVC will not ask for these trainings again."""
    if results := list(scratch.glob(f"*/*/{RESULT}")):
        known = _outputs(lock)
        for result in results:
            with suppress(OSError):  # another process may be quicker
                if result.read_bytes().decode(errors="replace") in known:
                    shutil.rmtree(result.parent)


def dvc_name(folder: Path) -> str:
    """Return the name that DVC gives a folder: the MD5 of the list of its files and their MD5s."""
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    entries = [{"md5": hashlib.md5(files[name].read_bytes()).hexdigest(), "relpath": name} for name in sorted(files)]
    return f"{hashlib.md5(json.dumps(entries).encode()).hexdigest()}.dir"


def _line(path: str, md5: str) -> str:
    return f"{md5} {path}\n"


def _outputs(lock: Path) -> list[str]:
    """Return a line for each output in dvc.lock; none if it cannot be read, so that nothing is removed."""
    try:
        stages = YAML(typ="safe", pure=True).load(lock.read_text(encoding="utf-8"))["stages"].values()
        outs = [out for stage in stages for out in stage.get("outs", [])]
        return [_line(out["path"], out["md5"]) for out in outs if "md5" in out]
    except (OSError, YAMLError, UnicodeDecodeError, KeyError, TypeError, AttributeError):
        return []
