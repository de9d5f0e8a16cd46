"""Which mask belongs to which image: every adapter pairs files by a key, and complains about what is left over."""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from pipeline.preparation.adapter import PrepareError

LITTER = ("thumbs.db", "desktop.ini")
"""Files that operating systems leave in folders of pictures, beside hidden ones."""

ID_LENGTH = 100
"""Longest id in characters; with a suffix it must remain a file name everywhere."""

NAMED = 3
"""How many offenders an error names before it only counts them."""


class Pair(NamedTuple):
    key: str
    image: Path
    mask: Path | None


def pair_files(images: Path, masks: Path, image_ending: str, mask_ending: str) -> list[Pair]:
    """Pair the pictures below two folders, in the order of their keys.

    Args:
        images: folder of the images.
        masks: folder of the masks, with the same subfolders.
        image_ending: what an image's name has between key and suffix; the key is its path relative to `images`
            without both.
        mask_ending: what follows the key in the name of its mask, suffix included. Files below `masks` that end
            otherwise are none of ours (Cityscapes keeps polygons and colors beside the masks).

    Raises:
        PrepareError: no such folder, nothing in it, a file that is no picture, two images of one key, an image without
            a mask or a mask without an image.
    """
    require_folder(images, "images")
    require_folder(masks, "masks")
    by_key = _unique_keys(images, image_ending)
    wanted = {key + mask_ending for key in by_key}
    present = {path.as_posix() for path in files_below(masks)}
    complain(f"images in {images} have no mask; looked for in {masks}:", sorted(wanted - present))
    complain(
        f"masks in {masks} have no image in {images}; found",
        sorted(name for name in present - wanted if name.endswith(mask_ending)),
    )
    return [Pair(key, images / by_key[key], masks / (key + mask_ending)) for key in sorted(by_key)]


def lone_images(images: Path, masks: Path) -> list[Pair]:
    """The pictures below a folder that has no masks.

    Raises:
        PrepareError: nothing in it, a file that is no picture, two images of one key, or masks all the same.
    """
    if masks.exists():
        raise PrepareError(f"{masks} is there, but images of {images} carry no labels; move both to another split")
    by_key = _unique_keys(images, "")
    return [Pair(key, images / by_key[key], None) for key in sorted(by_key)]


def require_folder(folder: Path, holds: str) -> None:
    """Raises PrepareError where there is no such folder, and says how far the path does exist."""
    if folder.is_dir():
        return
    parent = next((p for p in folder.parents if p.is_dir()), Path())
    found = ", ".join(sorted(p.name for p in parent.iterdir() if not p.name.startswith("."))[:8]) or "nothing"
    raise PrepareError(
        f"no folder {folder} ({holds} are looked for there); {parent.absolute()} holds {found}. "
        f"Set dataset.source in params.yaml to the folder that holds the dataset, relative to the profile's folder"
    )


def require_one_split(source: Path, names: Iterable[str]) -> None:
    """Raises PrepareError where a frame's name occurs twice: the same frame in two splits cannot be measured on."""
    twice = [name for name, uses in Counter(names).items() if uses > 1]
    complain(f"frames below {source} occur in more than one place; keep each in one split:", twice)


def files_below(folder: Path) -> list[Path]:
    """All files, relative to `folder`, sorted; without hidden files and what operating systems strew about."""
    found = []
    for parent, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(parent, n) for n in names if not n.startswith(".") and n.lower() not in LITTER]
    return sorted(path.relative_to(folder) for path in found)


def complain(what: str, offenders: Sequence[str]) -> None:
    """Raises PrepareError if there is any offender: how many, what, and the first few by name."""
    if offenders:
        more = f" and {len(offenders) - NAMED} more" if len(offenders) > NAMED else ""
        raise PrepareError(f"{len(offenders)} {what} {', '.join(offenders[:NAMED])}{more}")


def unique_ids(names: Iterable[str]) -> dict[str, str]:
    """An id for each name: a plain file name, also on file systems that ignore case.

    Names that become equal, or are too long, end in a hash of the name, so that an id depends on no order.
    """
    plain = {name: re.sub(r"[^A-Za-z0-9._-]+", "_", name).lstrip("._-") for name in names}
    uses = Counter(base.lower() for base in plain.values())
    return {
        name: base if base and uses[base.lower()] == 1 and len(base) <= ID_LENGTH else _hashed(base, name)
        for name, base in plain.items()
    }


def _hashed(base: str, name: str) -> str:
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:10]
    return f"{base[: ID_LENGTH - 11]}-{digest}".lstrip("-")


def _unique_keys(images: Path, ending: str) -> dict[str, Path]:
    files = files_below(images)
    readable = _readable_suffixes()
    complain(
        f"files in {images} are no pictures (hidden files are ignored); move them elsewhere or convert them:",
        [path.as_posix() for path in files if path.suffix.lower() not in readable],
    )
    if not files:
        raise PrepareError(f"{images} holds no image; put some there, or remove the folder if the split is not used")
    by_key: dict[str, Path] = {}
    twice: list[str] = []
    for path in files:
        first = by_key.setdefault(path.with_suffix("").as_posix().removesuffix(ending), path)
        if first != path:
            twice.append(f"{first.as_posix()} = {path.as_posix()}")
    complain(f"images in {images} share their name with another, so that one mask would serve both:", twice)
    return by_key


def _readable_suffixes() -> set[str]:
    return {suffix for suffix, form in Image.registered_extensions().items() if form in Image.OPEN}
