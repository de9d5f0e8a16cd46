"""Give a released run a version: push its bundle to a DVC remote, check what arrived there, then tag the commit.

Run it in the folder of the dvc.yaml, or with --profile. The tag comes last, so it never names what cannot be fetched.
`git push origin TAG` hands the version out.
"""

import argparse
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from dvc.repo import Repo
from gto.api import register
from gto.exceptions import GTOException
from scmrepo.exceptions import SCMError

from pipeline.errors import ArtifactError, ParamsError
from pipeline.versions.fetch import received, verified
from pipeline.versions.names import VersionName, git, registered, tags_of, version_name
from pipeline.versions.store import (
    CREDENTIALS,
    bundle_object,
    damaged,
    damages,
    listed_objects,
    opened,
    reaching,
    remote_store,
    unreachable,
)  # fmt: skip
from segdistill_runtime.verify import add_key_argument

SECRET = re.compile(r"secret|token|(?<!ask_)password|account_key|customer_key|connection_string")
"""Options of DVC's remotes that let in whoever knows them."""
PATIENCE_S, SLOWEST = 60.0, 100_000  # a push may take so many seconds, and one more for so many bytes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", help="a key of `runs` in params.yaml")
    parser.add_argument("version", help="MAJOR.MINOR.PATCH")
    parser.add_argument("--remote", help="name of a DVC remote (default: the project's default)")
    add_key_argument(parser)


def run(arguments: argparse.Namespace) -> None:
    key = arguments.public_key
    print(publish(arguments.run, arguments.version, arguments.remote, key, Path.cwd()))


def publish(run: str, version: str, remote: str | None, public_key: Path | None, profile: Path) -> str:
    """Check, push, check what arrived, register the tag; return what was done, in words.

    Raises:
        ParamsError: the version's name or the remote's configuration is not fit.
        ArtifactError: the working tree, the stages, the bundle or an object is not in a state to publish.
        MachineError: the remote does not answer.
    """
    root = Path(git("rev-parse", "--show-toplevel", folder=profile)).resolve()
    folder = profile.resolve().relative_to(root).as_posix().removeprefix(".")
    name = version_name(f"{folder}:{run}@{version}".removeprefix(":"))
    require_new(name, tags_of(str(root)))
    if changed := git("status", "--porcelain", folder=root).splitlines():
        raise ArtifactError(f"commit or ignore first: {', '.join(line[3:] for line in changed[:8])}")
    with opened(root) as repo:
        remote = fit_remote(repo, remote)
        declared = repo.artifacts.read().get("/".join(filter(None, [folder, "dvc.yaml"])), {})
        if name.run not in declared or declared[name.run].path != f"artifacts/release/{name.run}":
            raise ParamsError(f"dvc.yaml does not declare {run} under `artifacts:`, where `dvc artifacts get` looks")
        oid, stage = bundle_object(repo, name.bundle)
        if outdated := repo.status(targets=[stage.addressing], with_deps=True):
            raise ArtifactError(f"out of date: {', '.join(outdated)}; run `dvc repro {stage.name}` and commit")
        found = verified(root / name.bundle, name, public_key)
        if found.status != "released":
            raise ArtifactError(f"{run} is {found.status}: {'; '.join(found.reasons)}. Its gates stand in params.yaml")
        if found.unlisted:
            raise ArtifactError(f"{name.bundle} has files that no manifest lists: {', '.join(found.unlisted)}")
        objects = listed_objects(repo.cache.local, oid, f" of {name}")
        if bad := damages(repo.cache.local, objects):
            raise damaged(bad, f" of {name}", f"Delete them in DVC's cache and run `dvc commit --force {stage.name}`")
        store = remote_store(repo, remote)
        push(store, profile, remote, stage.name, sum(file.bytes for file in found.files.values()))
        with tempfile.TemporaryDirectory() as arrived:
            advice = f"Delete them and {oid} in the remote and publish again: DVC never overwrites an object"
            received(store, oid, name, public_key, Path(arrived), advice)
    try:
        register(repo=str(root), name=name.name, ref="HEAD", version=name.version, message=f"Release {name}")
    except (GTOException, SCMError, OSError) as error:
        raise ArtifactError(f"{name} is in the remote, but the tag {name.tag} could not be made: {error}") from error
    return (
        f"{found.summary()}\npublished {name}: {len(objects)} objects are intact in remote {remote}\n"
        f"hand it out with: git push origin {name.tag}"
    )


def require_new(name: VersionName, tags: list[str]) -> None:
    """Refuse a version that exists or was withdrawn: one is given once."""
    if name.tag in tags:
        known = registered(tags).get(name.name, [])
        taken = "exists already" if name.version in known else "was withdrawn"
        raise ParamsError(f"{name} {taken}; a version is given once (newest: {known[-1] if known else 'none'})")


def fit_remote(repo: Repo, asked: str | None) -> str:
    """Return the name of the remote if strangers can fetch from it safely; raises ParamsError with what to run."""
    remote = asked or repo.config["core"].get("remote")
    committed: Any = repo.config.read("repo")
    section = committed["remote"].get(remote) or {}
    if not section:
        raise ParamsError(
            f"no remote {remote or ''} in .dvc/config, so nobody else could fetch the version: run `dvc remote add "
            f"--project --default NAME URL` and commit (keys stay in .dvc/config.local)"
        )
    if secrets := sorted(key for key, value in section.items() if SECRET.search(key) or CREDENTIALS.search(str(value))):
        raise ParamsError(
            f"remote {remote} has credentials in .dvc/config, which git hands out with every version: "
            f"{', '.join(secrets)}. Move them to .dvc/config.local (`dvc remote modify --local`) and have them changed "
            f"where they were issued: git remembers them"
        )
    if str(section.get("verify")).lower() != "true":
        raise ParamsError(
            f"remote {remote} does not verify: `dvc pull` would take damaged objects from it. Run `dvc remote modify "
            f"{remote} verify true` and commit .dvc/config"
        )
    return str(remote)


def push(store: Any, profile: Path, remote: str, stage: str, size: int) -> None:
    """Let DVC push what a stage wrote, and stop it after a time: it waits for ever for a server that hangs."""
    with reaching(store):
        store.fs.exists(store.path)
        command, patience = ["dvc", "push", "--quiet", "--remote", remote, stage], PATIENCE_S + size / SLOWEST
        pushed = subprocess.run(command, cwd=profile, capture_output=True, text=True, check=False, timeout=patience)
        if pushed.returncode:
            raise unreachable(store, pushed.stderr)
