"""Remove a file of DVC's that was cut off when DVC was killed.

DVC writes two files in place: dvc.lock, and the list of paths that its processes use. Killed in that moment, it leaves
an empty or cut-off file that every later dvc command refuses. The last commit's dvc.lock comes back if there is one.
Nothing is lost: `dvc repro` finds in DVC's run cache what the stages had finished.
"""

import argparse
import json
import subprocess
from contextlib import suppress
from pathlib import Path

from dvc.dvcfile import LOCK_FILE, Lockfile
from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.rwlock import RWLOCK_FILE

from pipeline.errors import ArtifactError
from pipeline.versions.store import opened


def run(_: argparse.Namespace) -> None:
    for sentence in recover(Path.cwd()):
        print(sentence)


def recover(folder: Path) -> list[str]:
    """Remove what DVC cannot read for the dvc.yaml in `folder`; return a sentence for each file."""
    done = []
    lock = folder / LOCK_FILE
    with opened(str(folder)) as repo, repo.lock:
        if not is_readable(repo, lock):
            if b"<<<<<<< " in lock.read_bytes():
                raise ArtifactError(f"{lock} is in the middle of a merge: solve that, or `git checkout --ours {lock}`")
            lock.unlink()
            restore = ["git", "restore", "--source=HEAD", "--worktree", "--", LOCK_FILE]
            subprocess.run(restore, cwd=folder, capture_output=True, check=False)
            if not is_readable(repo, lock):
                lock.unlink()
            now = "the last commit's is back" if lock.exists() else "no commit has another"
            done.append(f"removed {lock}: it was cut off; {now}")
        used = Path(str(repo.tmp_dir)) / RWLOCK_FILE
        try:
            json.loads(used.read_bytes() if used.exists() else "{}")
        except ValueError:
            used.unlink()
            done.append(f"removed {used}: it was cut off; it names what dvc commands use while they run")
    return done


def is_readable(repo: Repo, lock: Path) -> bool:
    """Return whether DVC can read a dvc.lock; one that does not exist counts as empty."""
    with suppress(DvcException):
        Lockfile(repo, str(lock)).load()
        return True
    return not lock.exists()
