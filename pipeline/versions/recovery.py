"""What DVC was writing when it was killed.

DVC writes two files in place: `dvc.lock`, and the list of the paths that its processes use. Killed in that moment, or
stopped by Ctrl-C, it leaves an empty or cut-off file that every later dvc command refuses. Neither holds the only copy
of anything: what the stages have made is in DVC's run cache, where `dvc repro` finds it by what it was made of.
"""

from contextlib import suppress
from pathlib import Path

from pipeline.errors import SegdistillError
from pipeline.versions.project import LOCK, opened, unreadable
from pipeline.versions.tree import GitError, git

CONFLICT = b"<<<<<<< "  # as git marks one


class RecoveryRefused(SegdistillError):
    """A file that DVC cannot read for another reason than its own end."""


def recover(folder: Path) -> list[str]:
    """Remove what DVC cannot read; for `dvc.lock` the last commit's comes back, if there is one.

    Args:
        folder: of the dvc.yaml.

    Returns:
        What was done, a sentence for each file; empty if DVC reads all.

    Raises:
        ProjectError: a dvc command is at work, or there is no DVC project.
        RecoveryRefused: `dvc.lock` is in the middle of a merge.
    """
    with opened(folder) as repo, repo.lock:
        done = [_removed(path) for path in unreadable(repo, folder)]
        for path in unreadable(repo, folder):
            path.unlink()  # the last commit's was no better
    return done


def _removed(path: Path) -> str:
    if path.name != LOCK:
        path.unlink()
        return f"removed {path}: it was cut off. It names what dvc commands use at the moment, nothing that lasts"
    if CONFLICT in path.read_bytes():
        raise RecoveryRefused(f"{path} is in the middle of a merge: solve that, or `git checkout --ours {LOCK}`")
    path.unlink()
    with suppress(GitError):  # no repository, or a file that was never committed
        git("restore", "--source=HEAD", "--worktree", "--", LOCK, folder=path.parent)
    now = "the last commit's is back" if path.exists() else "no commit has another"
    return f"removed {path}: it was cut off; {now}. `dvc repro` finds in DVC's run cache what the stages had finished"
