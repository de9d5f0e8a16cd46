"""Fetch a version of a run and verify it: each object, the manifest and, with a key, the signature.

No file of the bundle is opened before it is verified. The bundle is written whole or not at all.
"""

import argparse
import os
import tempfile
from pathlib import Path
from typing import Any

from pipeline.errors import ArtifactError, ParamsError
from pipeline.versions import store
from segdistill_runtime.verify import Bundle, BundleRefused, add_key_argument, verify


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("version", metavar="NAME@VERSION", help="for example pspnet_r18@1.0.0, profiles/mine:run@1.0.0")
    parser.add_argument("--out", type=Path, help="new folder for the bundle (default: fetched/NAME@VERSION)")
    parser.add_argument("--repo", default=".", help="the project: a folder, or an address for git clone")
    parser.add_argument("--remote", help="name of a DVC remote (default: the project's default)")
    add_key_argument(parser)


def run(arguments: argparse.Namespace) -> None:
    out = arguments.out or Path("fetched", arguments.version.replace(":", "/"))
    print(fetch(arguments.version, arguments.repo, arguments.remote, arguments.public_key, out))


def fetch(text: str, repository: str, remote: str | None, public_key: Path | None, out: Path) -> str:
    """Write the bundle of a version to `out`, whole or not at all; return in words what was checked."""
    name = store.version_name(text)
    known = [version for version in store.registered(store.tags_of(repository)) if version.name == name.name]
    if name not in known:
        where = f"{store.redacted(repository)}, or it was withdrawn; new tags need `git fetch --tags`"
        numbers = ", ".join(version.version for version in known) or "none"
        raise ParamsError(f"there is no {name} in {where}. Versions of {name.name}: {numbers}")
    try:
        if os.path.lexists(out):
            raise FileExistsError
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ParamsError(f"{out} exists or cannot be created; name another folder with --out") from error
    with store.opened(repository, name.tag) as repo, tempfile.TemporaryDirectory(dir=out.parent) as folder:
        oid, _ = store.bundle_object(repo, name.bundle)
        advice = "To repair: delete them in the remote, then run `dvc push` where the copy is intact"
        found = received(store.remote_store(repo, remote), oid, name, public_key, Path(folder, out.name), advice)
        Path(folder, out.name).rename(out)
    return f"{found.summary()}\nfetched {name}: {out}"


def received(odb: Any, oid: str, name: store.VersionName, public_key: Path | None, folder: Path, advice: str) -> Bundle:
    """Copy a bundle out of a store and check it; raise ArtifactError that names each damaged object."""
    _, *files = store.listed_objects(odb, oid, f" of {name}")
    store.require_none(store.damages(odb, files, f" of {name}", folder), advice)
    return verified(folder, name, public_key)


def verified(bundle: Path, name: store.VersionName, public_key: Path | None) -> Bundle:
    """Check a bundle's manifest, signature and run; raise ArtifactError that names the first wrong file."""
    try:
        found = verify(bundle, public_key)
    except BundleRefused as error:
        raise ArtifactError(f"{name} was refused: {error}") from error
    if found.run != name.run:
        raise ArtifactError(f"the bundle of {name} belongs to another run: {found.run!r}")
    return found
