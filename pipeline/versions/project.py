"""What DVC knows of the project: what stands where, whether it is up to date, which remotes there are.

DVC's Python interface is used in this file only; what it calls an object database is a store here (store.py).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from dvc.config import NoRemoteError
from dvc.dvcfile import LOCK_FILE as LOCK
from dvc.dvcfile import Lockfile
from dvc.exceptions import DvcException, OutputNotFoundError
from dvc.repo import Repo
from dvc.rwlock import RWLOCK_FILE, RWLockFileCorruptedError, RWLockFileFormatError, rwlock

from pipeline.errors import SegdistillError
from pipeline.versions.redaction import CREDENTIALS, SECRETS
from pipeline.versions.store import reaching

CONNECT_SECONDS = 5  # where the remote's section of .dvc/config says nothing: a server that is down shows in seconds
READ_SECONDS = 30
TRIES = 2  # of S3's file system, and five of its client within each; five times five would wait for half an hour


class ProjectError(SegdistillError):
    """DVC refused, with its own words."""


class Output(NamedTuple):
    """A file or folder that a stage writes and DVC keeps."""

    object: str  # its name in a store
    stage: str  # as `dvc repro` takes it
    path: str


class RemoteSettings(NamedTuple):
    name: str  # empty if there is no such remote
    committed: bool  # its section stands in .dvc/config and not only in a file of this machine
    verified: bool  # DVC hashes what it downloads
    secrets: list[str]  # options that stand in .dvc/config, which git hands out, and let in whoever knows them


@contextmanager
def opened(root: Path, revision: str = "") -> Iterator[Repo]:
    """DVC's view of a working tree, or of one of its commits with the remotes as the working tree has them now.

    Raises:
        ProjectError: DVC cannot read the project, there or later while it is open.
    """
    try:
        with Repo(str(root)) as now:
            if not revision:
                yield now
                return
            # A server that has moved is found by its new address, and what stands in config.local counts.
            config = {"remote": dict(now.config["remote"])}
            if "remote" in now.config["core"]:
                config["core"] = {"remote": now.config["core"]["remote"]}
        with Repo(str(root), rev=revision, config=config) as then:
            yield then
    except DvcException as error:
        raise ProjectError(f"DVC cannot go on in {root}: {' '.join(str(error).split())}") from error


def output(repo: Repo, path: str) -> Output:
    """What stands at `path`, a folder given from the repository's root.

    Raises:
        ProjectError: no stage writes it, or it has never been made.
    """
    try:
        (found,) = repo.find_outs_by_path(repo.fs.join(repo.root_dir, *path.split("/")))
    except OutputNotFoundError as error:
        raise ProjectError(f"no stage writes {path}: is the run among `runs` of params.yaml?") from error
    if not found.hash_info or not found.hash_info.isdir:
        raise ProjectError(f"dvc.lock does not know {path} yet: run `dvc repro {found.stage.addressing}` and commit")
    return _output(found)


def outputs(repo: Repo) -> list[Output]:
    """All that DVC keeps of what the stages have written."""
    return [_output(found) for found in repo.index.outs if found.use_cache and found.hash_info]


def _output(found: Any) -> Output:
    return Output(found.hash_info.value, found.stage.addressing, str(found))


def changes(repo: Repo, stage: str) -> list[str]:
    """What `dvc status` says of a stage and of all stages before it; empty if they are up to date."""
    status = repo.status(targets=[stage], with_deps=True)
    return [f"{name} ({'; '.join(_reasons(said))})" for name, said in status.items()]


def _reasons(said: Sequence[Any]) -> Iterator[str]:
    """DVC gives a text, or what has changed by kind: {"changed deps": {"make.py": "modified"}}."""
    for part in said:
        if isinstance(part, str):
            yield part
        else:
            for found in part.values():
                yield ", ".join(f"{path} {how}" for path, how in found.items())


def unreadable(repo: Repo, folder: Path) -> list[Path]:
    """Of the files that DVC writes in place for the dvc.yaml in `folder`, those that it cannot read."""
    found = []
    lock = Lockfile(repo, str(folder / LOCK))
    try:
        if lock.exists():
            lock.load()
    except DvcException:
        found.append(folder / LOCK)
    try:
        with rwlock(repo.tmp_dir, repo.fs, "recover", [], [], repo.config["core"]["hardlink_lock"]):
            pass
    except (RWLockFileCorruptedError, RWLockFileFormatError):
        found.append(Path(str(repo.tmp_dir)) / RWLOCK_FILE)
    return found


def artifact_path(repo: Repo, folder: str, run: str) -> str:
    """The path that `artifacts:` of the dvc.yaml in `folder` gives for a run, from there; empty if it has none."""
    declared = repo.artifacts.read().get(f"{folder}/dvc.yaml" if folder else "dvc.yaml", {})
    return declared[run].path if run in declared else ""


def remote_settings(repo: Repo, asked: str) -> RemoteSettings:
    """What the configuration says of a remote; without a name, of the default one."""
    project: Any = repo.config.read("repo")
    committed = project["remote"]
    name = asked or repo.config["core"].get("remote", "")
    verify = repo.config["remote"].get(name, {}).get("verify")
    section = committed.get(name, {})
    secrets = sorted(key for key, value in section.items() if key in SECRETS or CREDENTIALS.search(str(value)))
    return RemoteSettings(name, name in committed, verify is True and "verify" in section, secrets)


def remote_store(repo: Repo, name: str) -> Any:
    """The objects of a remote; `name` may be empty for the default one.

    Raises:
        ProjectError: no such remote, no default, or one that keeps files by version instead of objects.
        StoreError: what the configuration and the environment say of a way to it is contradictory.
    """
    for config in repo.config["remote"].values():
        if str(config.get("url", "")).startswith("s3://"):
            config.setdefault("connect_timeout", CONNECT_SECONDS)
            config.setdefault("read_timeout", READ_SECONDS)
    try:
        store = repo.cloud.get_remote_odb(name or None)
    except NoRemoteError as error:
        raise ProjectError(
            "no DVC remote is configured: run `dvc remote add --default NAME URL` and `dvc remote modify NAME verify "
            "true`, and commit .dvc/config"
        ) from error
    if store.fs.protocol == "s3":
        with reaching(store):
            client: Any = store.fs.fs
        client.retries = TRIES
    return store
