"""Remove a file of DVC that was truncated when DVC was killed.

DVC writes two files in place: dvc.lock, and the list of paths that its processes use. If DVC is killed at that moment,
the file is empty or truncated, and every later dvc command refuses it. dvc.lock is restored from the last commit, if
that has one. Nothing is lost: `dvc repro` finds the results of finished stages in DVC's run cache.
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
    """Remove files that DVC cannot read for the dvc.yaml in `folder`; return a sentence for each file.

    Raises ArtifactError if dvc.lock has merge conflicts.
    """
    done = []
    lock = folder / LOCK_FILE
    with opened(str(folder)) as repo, repo.lock:
        if not is_readable(repo, lock):
            if b"<<<<<<< " in lock.read_bytes():
                raise ArtifactError(f"{lock} has merge conflicts; resolve them, or run `git checkout --ours {lock}`")
            lock.unlink()
            restore = ["git", "restore", "--source=HEAD", "--worktree", "--", LOCK_FILE]
            subprocess.run(restore, cwd=folder, capture_output=True, check=False)
            if not is_readable(repo, lock):
                lock.unlink()
            now = "the last commit's is restored" if lock.exists() else "the last commit has no readable one"
            done.append(f"removed {lock}: it was truncated; {now}")
        used = Path(str(repo.tmp_dir)) / RWLOCK_FILE
        try:
            json.loads(used.read_bytes() if used.exists() else "{}")
        except ValueError:
            used.unlink()
            done.append(f"removed {used}: it was truncated; it lists only what running dvc commands use")
    return done


def is_readable(repo: Repo, lock: Path) -> bool:
    """Return whether DVC can read a dvc.lock; one that does not exist counts as empty."""
    with suppress(DvcException):
        Lockfile(repo, str(lock)).load()
        return True
    return not lock.exists()
