"""Hash every object of DVC's cache, and of a remote, and name the damaged ones.

An object that the cache lacks is no error, because a cache may be emptied. A remote must have all objects of all
versions.
"""

import argparse
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from pipeline.errors import ArtifactError
from pipeline.versions import store

ADVICE = (
    "In the cache: delete each object and its file in the workspace, then run `dvc pull`, "
    "or `dvc repro --force` for its stage. "
    "In a remote: delete each object and the list of its folder, then run `dvc push` where the cache is intact"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--remote", nargs="?", const="", help="also check a remote: its NAME; without NAME the default")


def run(arguments: argparse.Namespace) -> None:
    checked = check(".", arguments.remote)
    for place, count, found in checked:
        print(f"{place}: {count} objects, {len(found)} damaged or missing")
    store.require_none([damage for _, _, found in checked for damage in found], ADVICE)


def check(repository: str, remote: str | None) -> list[tuple[str, int, list[str]]]:
    """Return for each store its address, its number of objects, and a line for each damaged or missing object.

    `remote` is the name of a DVC remote; empty for the default one, None to check no remote.
    """
    with store.opened(repository) as repo:
        odbs = [repo.cache.local, *([] if remote is None else [store.remote_store(repo, remote)])]
        outs = repo.index.outs
        made = [(str(out.hash_info.value), f" of {out} ({out.stage.addressing})") for out in outs if out.hash_info]
        current = _files(made, odbs)
        published = _files(_bundles(repository), odbs)
        checked = []
        for odb in odbs:
            with store.reaching(odb):
                there = {name for name in odb.all() if store.OBJECT_NAME.fullmatch(name)}
            names = sorted(there if odb is repo.cache.local else there | published.keys())
            files = [[*published.get(name, ()), *current.get(name, ())] or ["part of no known file"] for name in names]
            objects = [store.StoredObject(name, "; ".join(of[:3])) for name, of in zip(names, files, strict=True)]
            checked.append((store.address(odb), len(objects), store.damages(odb, objects)))
    return checked


def _bundles(repository: str) -> Iterator[tuple[str, str]]:
    """Yield the object of every version's bundle, and its name in words."""
    for version in store.registered(store.tags_of(repository)):
        try:
            with store.opened(repository, version.tag) as repo:
                oid, _ = store.bundle_object(repo, version.bundle)
        except ArtifactError as error:
            print(f"not checked: {version}: {error}")
        else:
            yield oid, f" of version {version}"


def _files(named: Iterable[tuple[str, str]], odbs: Sequence[Any]) -> dict[str, list[str]]:
    """Return the files of each object in words; a folder's list comes from the first store that has it intact."""
    files: dict[str, list[str]] = defaultdict(list)
    for oid, of in named:
        parts = [store.StoredObject(oid, "the whole")]
        for odb in odbs if oid.endswith(".dir") else ():
            try:
                parts = store.listed_objects(odb, oid, of)
                break
            except ArtifactError:
                continue  # the check of that store names it
        for part in parts:
            files[part.name].append(f"{part.file}{of}")
    return files
