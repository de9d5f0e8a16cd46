"""What git knows: where the repository begins, what is not committed, which tags there are."""

import subprocess
from pathlib import Path

from pipeline.errors import SegdistillError
from pipeline.versions.redaction import without_credentials

CODE = ("models", "pipeline", "stages", "requirements.lock", ".dvc/config", ".dvcignore")
PROFILE = ("dvc.yaml", "dvc.lock", "params.yaml", "review.csv", "reports/metrics", "reports/releases")
"""What a version rests on and git keeps: CODE at the root of the repository, PROFILE in the profile's folder."""


class GitError(SegdistillError):
    """Git refused, with its own words."""


def git(*arguments: str, folder: Path) -> str:
    """Run git in `folder` and return what it prints, without the last line end.

    Raises:
        GitError: git is missing or exited with another status than 0.
    """
    try:
        run = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise GitError(f"cannot run git in {folder}: {error}; versions are tags of a git repository") from error
    if run.returncode:
        said = without_credentials(" ".join((run.stderr or run.stdout).split())) or f"status {run.returncode}"
        raise GitError(f"git {arguments[0]} failed in {folder}: {said}")
    return run.stdout.rstrip("\n")


def repository_root(folder: Path) -> Path:
    """The working tree that `folder` lies in.

    Raises:
        GitError: it lies in none.
    """
    return Path(git("rev-parse", "--show-toplevel", folder=folder))


def uncommitted(root: Path, folder: str) -> list[str]:
    """Files that a version of the profile in `folder` rests on and that differ from the last commit, or are not in it.

    Args:
        root: of the repository.
        folder: of the profile inside it, empty for the root itself.
    """
    watched = [*CODE, *(f"{folder}/{name}" if folder else name for name in PROFILE)]
    status = git("status", "--porcelain", "--untracked-files=all", "--", *watched, folder=root)
    return [line[3:] for line in status.splitlines()]


def all_tags(root: Path) -> list[str]:
    return git("tag", "--list", folder=root).splitlines()
