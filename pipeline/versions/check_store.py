"""Hash every object of DVC's cache, and of a remote, and name the damaged ones.

What is not in the cache is no fault: a cache may be emptied. A remote must have all objects of all versions.
"""

import argparse
from collections.abc import Sequence
from typing import Any

from pipeline.errors import ArtifactError
from pipeline.versions.names import registered, tags_of, version_name
from pipeline.versions.store import (
    OBJECT_NAME,
    Damage,
    StoredObject,
    address,
    bundle_object,
    damaged,
    damages,
    listed_objects,
    opened,
    reaching,
    remote_store,
)  # fmt: skip

ADVICE = (
    "In the cache: delete each with its file in the workspace, then `dvc pull`, or `dvc repro --force` its stage. "
    "In a remote: delete each there with the list of its folder, then `dvc push` from where the cache is intact"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--remote", nargs="?", const="", help="check a remote too: NAME, or none for the default one")


def run(arguments: argparse.Namespace) -> None:
    checked = check(".", arguments.remote)
    for place, count, found in checked:
        print(f"{place}: {count} objects, {len(found)} damaged or missing")
    if found := [damage for _, _, of_store in checked for damage in of_store]:
        raise damaged(found, advice=ADVICE)


def check(repository: str, remote: str | None) -> list[tuple[str, int, list[Damage]]]:
    """Return for each store its address, how many objects it has, and those that are damaged or missing.

    `remote` is the name of a DVC remote, empty for the default one; None leaves remotes alone.
    """
    with opened(repository) as repo:
        stores = [repo.cache.local, *([] if remote is None else [remote_store(repo, remote)])]
        outs = repo.index.outs
        kept = [(str(out.hash_info.value), f" of {out} ({out.stage.addressing})") for out in outs if out.hash_info]
        published = versions(repository)
        owners: dict[str, list[str]] = {}
        for oid, of in [*published, *kept]:
            for part in parts_of(str(oid), of, stores):
                owners.setdefault(part.name, []).append(f"{part.file}{of}")
        needed = {part.name for oid, of in published for part in parts_of(oid, of, stores)}
        checked = []
        for store in stores:
            with reaching(store):
                there = {name for name in store.all() if OBJECT_NAME.fullmatch(name)}
            names = sorted(there if store is repo.cache.local else there | needed)
            objects = [StoredObject(name, "; ".join(owners.get(name, ["part of nothing known"])[:3])) for name in names]
            checked.append((address(store), len(objects), damages(store, objects)))
    return checked


def versions(repository: str) -> list[tuple[str, str]]:
    """Return the object of the bundle of every version, and its name in words."""
    found = []
    for name, numbers in registered(tags_of(repository)).items():
        for version in (version_name(f"{name}@{number}") for number in numbers):
            try:
                with opened(repository, version.tag) as repo:
                    found.append((bundle_object(repo, version.bundle)[0], f" of version {version}"))
            except ArtifactError as error:
                print(f"not looked at: {version}: {error}")
    return found


def parts_of(oid: str, of: str, stores: Sequence[Any]) -> list[StoredObject]:
    """Return an object and what it lists, from the first store that has the list intact."""
    for store in stores if oid.endswith(".dir") else ():
        try:
            return listed_objects(store, oid, of)
        except ArtifactError:
            continue  # the check of that store names it
    return [StoredObject(oid, "the whole")]
