"""Give a released run a version: push its bundle to a DVC remote, verify the pushed bundle, then tag the commit.

Run it in the folder of the dvc.yaml, or with --profile. The tag comes last, so every tagged version can be fetched.
`git push origin TAG` gives others access to the version.
"""

import argparse
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from dvc.exceptions import DvcException
from dvc.repo import Repo
from gto.api import register
from gto.exceptions import GTOException
from scmrepo.exceptions import SCMError

from pipeline.errors import ArtifactError, ParamsError
from pipeline.versions import store
from pipeline.versions.fetch import received, verified
from segdistill_runtime.verify import add_key_argument

SECRET = re.compile(r"secret|token|(?<!ask_)password|account_key|customer_key|connection_string")
"""Options of DVC's remotes that give access to anyone who knows them."""
PATIENCE_S, SLOWEST = 60.0, 100_000  # a push may take this many seconds, plus one for this many bytes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", help="a key of `runs` in params.yaml")
    parser.add_argument("version", help="MAJOR.MINOR.PATCH")
    parser.add_argument("--remote", help="name of a DVC remote (default: the project's default)")
    add_key_argument(parser)


def run(arguments: argparse.Namespace) -> None:
    print(publish(arguments.run, arguments.version, arguments.remote, arguments.public_key, Path.cwd()))


def publish(run: str, version: str, remote: str | None, public_key: Path | None, profile: Path) -> str:
    """Check, push, verify the pushed bundle, and register the tag; return in words what was done."""
    root = Path(store.git("rev-parse", "--show-toplevel", folder=profile)).resolve()
    folder = profile.resolve().relative_to(root).as_posix().removeprefix(".")
    name = store.version_name(f"{folder}:{run}@{version}".removeprefix(":"))
    if name.tag in (tags := store.tags_of(str(root))):
        known = [version for version in store.registered(tags) if version.name == name.name]
        taken = "exists already" if name in known else "was withdrawn (`gto deprecate`)"
        raise ParamsError(f"{name} {taken}; choose a new version (newest: {known[-1].version if known else 'none'})")
    if changed := store.git("status", "--porcelain", folder=root).splitlines():
        raise ArtifactError(f"commit or ignore these (`git status`): {', '.join(line[3:] for line in changed[:8])}")
    with store.opened(root) as repo:
        remote = fit_remote(repo, remote)
        declared = repo.artifacts.read().get("/".join(filter(None, [folder, "dvc.yaml"])), {})
        if name.run not in declared or declared[name.run].path != f"artifacts/release/{name.run}":
            raise ParamsError(f"dvc.yaml does not declare {run} under `artifacts:`; run `python -m pipeline stages`")
        oid, stage = store.bundle_object(repo, name.bundle)
        if outdated := repo.status(targets=[stage.addressing], with_deps=True):
            raise ArtifactError(f"out of date: {', '.join(outdated)}; run `dvc repro {stage.name}` and commit")
        found = verified(root / name.bundle, name, public_key)
        if found.status != "released":
            raise ArtifactError(f"{run} is {found.status}: {'; '.join(found.reasons)}. Its gates are in params.yaml")
        if found.unlisted:
            raise ArtifactError(f"{name.bundle} has unlisted files; remove them: {', '.join(found.unlisted)}")
        objects = store.listed_objects(repo.cache.local, oid, f" of {name}")
        advice = f"Delete them in DVC's cache and run `dvc commit --force {stage.name}`"
        store.require_none(store.damages(repo.cache.local, objects, f" of {name}"), advice)
        odb = store.remote_store(repo, remote)
        push(odb, profile, remote, stage.name, sum(file.bytes for file in found.files.values()))
        with tempfile.TemporaryDirectory() as arrived:
            advice = f"Delete them and {oid} in the remote and publish again: DVC never overwrites an object"
            received(odb, oid, name, public_key, Path(arrived), advice)
    try:
        register(repo=str(root), name=name.name, ref="HEAD", version=name.version, message=f"Release {name}")
    except (GTOException, SCMError, OSError) as error:
        raise ArtifactError(f"{name} is in the remote, but refs/tags/{name.tag} cannot be created: {error}") from error
    return (
        f"{found.summary()}\npublished {name}: {len(objects)} objects are intact in remote {remote}\n"
        f"give others access with: git push origin {name.tag}"
    )


def fit_remote(repo: Repo, asked: str | None) -> str:
    """Return the name of the remote if others can fetch from it safely; raise ParamsError with the command to run."""
    remote = asked or repo.config["core"].get("remote")
    committed: Any = repo.config.read("repo")
    section = committed["remote"].get(remote) or {}
    if not section:
        raise ParamsError(
            f"no remote {remote or ''} in .dvc/config, so nobody else could fetch the version. Run `dvc remote add "
            f"--project --default NAME URL` and commit (keys stay in .dvc/config.local)"
        )
    if secrets := sorted(k for k, v in section.items() if SECRET.search(k) or store.CREDENTIALS.search(str(v))):
        raise ParamsError(
            f"remote {remote} has credentials in .dvc/config, which git shares with every version: "
            f"{', '.join(secrets)}. Move them to .dvc/config.local (`dvc remote modify --local`) and replace them by "
            f"new ones, because git's history keeps the old ones"
        )
    if str(section.get("verify")).lower() != "true":
        raise ParamsError(
            f"remote {remote} has no `verify`: `dvc pull` would accept damaged objects. Run `dvc remote modify "
            f"{remote} verify true` and commit .dvc/config"
        )
    return str(remote)


def push(odb: Any, profile: Path, remote: str, stage: str, size: int) -> None:
    """Let DVC push a stage's outputs, and stop it after a time limit: DVC waits forever for a server that hangs."""
    with store.reaching(odb):
        odb.fs.exists(odb.path)
        command, patience = ["dvc", "push", "--quiet", "--remote", remote, stage], PATIENCE_S + size / SLOWEST
        pushed = subprocess.run(command, cwd=profile, capture_output=True, text=True, check=False, timeout=patience)
        if pushed.returncode:
            raise DvcException(pushed.stderr)
