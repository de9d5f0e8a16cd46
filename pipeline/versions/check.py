"""Hash every object of DVC's cache, or of a remote, and say what a damaged one belongs to.

DVC itself never looks: it takes the name of an object for the proof of its content.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.versions.names import VersionName, all_registered
from pipeline.versions.project import ProjectError, opened, output, outputs, remote_store
from pipeline.versions.store import (
    FOLDER,
    Damage,
    DamagedObjects,
    StoredObject,
    address,
    inspect,
    listed_objects,
    object_names,
)
from pipeline.versions.tree import all_tags, repository_root

OWNERS_SHOWN = 3
NOBODY = "belongs to nothing that dvc.lock or a version names"


class Checked(NamedTuple):
    """One store, and what is wrong in it."""

    store: str  # its address
    objects: int
    damages: list[Damage]  # each with what the object belongs to in place of a file


class Check(NamedTuple):
    stores: list[Checked]
    versions: int
    unreadable: list[str]  # versions whose commit knows no such bundle, with the reason


def check(folder: Path, remote: str | None) -> Check:
    """Hash all objects of the local cache, and of a remote if asked.

    What is not in the cache is no fault: a cache may be emptied. In the remote, though, all objects of all versions
    must be there.

    Args:
        folder: anywhere in the working tree.
        remote: name of a DVC remote, empty for the default one; None to leave remotes alone.

    Raises:
        GitError, ProjectError, StoreError: see tree.py, project.py and store.py.
    """
    root = repository_root(folder)
    versions, unreadable = _bundles(root, all_registered(all_tags(root)))
    with opened(root) as repo:
        cache = repo.cache.local
        stores = [cache] if remote is None else [cache, remote_store(repo, remote)]
        of_versions = _owners(versions, stores)
        of_stages = _owners([(kept.object, f"{kept.path} ({kept.stage})") for kept in outputs(repo)], stores)
        owners = _joined(of_versions, of_stages)
        checked = [
            _check(store, object_names(store) | (set() if store is cache else of_versions.keys()), owners)
            for store in stores
        ]
    return Check(checked, len(versions), unreadable)


Owners = dict[str, list[str]]
"""By the name of an object, all that it is a part of, in words."""


def _bundles(root: Path, versions: Iterable[VersionName]) -> tuple[list[tuple[str, str]], list[str]]:
    """For each version the object of its bundle, and its name; and those that have none."""
    found: list[tuple[str, str]] = []
    unreadable: list[str] = []
    for version in versions:
        try:
            with opened(root, f"refs/tags/{version.tag}") as repo:
                found.append((output(repo, version.bundle).object, f"version {version}"))
        except ProjectError as error:
            unreadable.append(f"{version}: {error}")
    return found, unreadable


def _owners(known: Iterable[tuple[str, str]], stores: Sequence[Any]) -> Owners:
    owners: Owners = {}
    for name, words in known:
        for entry in _entries(name, stores):
            owners.setdefault(entry.name, []).append(f"{entry.file} of {words}")
    return owners


def _entries(name: str, stores: Sequence[Any]) -> list[StoredObject]:
    """An object and what it lists, from the first store that has the list intact."""
    if name.endswith(FOLDER):
        for store in stores:
            try:
                return listed_objects(store, name)
            except DamagedObjects:
                continue  # the check of that store names it
    return [StoredObject(name, "the whole")]


def _joined(first: Owners, second: Owners) -> Owners:
    return {name: [*first.get(name, []), *second.get(name, [])] for name in first.keys() | second.keys()}


def _check(store: Any, names: Iterable[str], owners: Owners) -> Checked:
    objects = [StoredObject(name, _in_words(owners.get(name, []))) for name in sorted(names)]
    return Checked(address(store), len(objects), inspect(store, objects, trust_etag=False))


def _in_words(owners: Sequence[str]) -> str:
    more = f" and {len(owners) - OWNERS_SHOWN} more" if len(owners) > OWNERS_SHOWN else ""
    return "; ".join(owners[:OWNERS_SHOWN]) + more or NOBODY
