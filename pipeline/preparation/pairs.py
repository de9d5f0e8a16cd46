"""Which mask belongs to which image: every adapter pairs files by a key, and complains about what is left over."""

import hashlib
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

from PIL import Image

from pipeline.preparation.adapter import PrepareError

LITTER = ("thumbs.db", "desktop.ini", "icon\r")
"""Files that operating systems leave in folders of pictures, beside hidden ones."""

ID_LENGTH = 100
"""Longest id in characters; with a suffix it must remain a file name everywhere."""

NAMED = 3
"""How many offenders an error names before it only counts them."""


class Pair(NamedTuple):
    key: str
    image: Path
    mask: Path | None


def pair_files(
    images: Path, masks: Path, image_ending: str, mask_ending: str, leave_out: str | None = None
) -> list[Pair]:
    """Pair the pictures below two folders, in the order of their keys.

    Args:
        images: folder of the images.
        masks: folder of the masks, with the same subfolders.
        image_ending: what an image's name has between key and suffix; the key is its path relative to `images`
            without both.
        mask_ending: what follows the key in the name of its mask, suffix included. Files below `masks` that end
            otherwise are none of ours (Cityscapes keeps polygons and colors beside the masks).
        leave_out: a subfolder of `images` whose files are none of ours either.

    Raises:
        PrepareError: no such folder, nothing in it, a file that is no picture, two images of one key, an image without
            a mask or a mask without an image.
    """
    require_folder(images, "images")
    require_folder(masks, "masks")
    by_key = _unique_keys(images, image_ending, leave_out)
    wanted = {key + mask_ending for key in by_key}
    present = {path.as_posix() for path in files_below(masks)}
    missing, lone = sorted(wanted - present), sorted(n for n in present - wanted if n.endswith(mask_ending))
    alike = {unicodedata.normalize("NFC", name) for name in lone}
    complain(
        f"masks in {masks} are called like their images in letters that only look the same (Unicode forms NFC and "
        f"NFD); rename them to",
        [ascii(name) for name in missing if unicodedata.normalize("NFC", name) in alike],
    )
    complain(f"images in {images} have no mask; looked for in {masks}:", missing)
    complain(f"masks in {masks} have no image in {images}; found", lone)
    return [Pair(key, images / by_key[key], masks / (key + mask_ending)) for key in sorted(by_key)]


def lone_images(images: Path, masks: Path) -> list[Pair]:
    """The pictures below a folder that has no masks.

    Raises:
        PrepareError: nothing in it, a file that is no picture, two images of one key, or masks all the same.
    """
    if masks.exists():
        raise PrepareError(f"{masks} is there, but images of {images} carry no labels; move both to another split")
    by_key = _unique_keys(images, "", None)
    return [Pair(key, images / by_key[key], None) for key in sorted(by_key)]


def require_folder(folder: Path, holds: str) -> None:
    """Raises PrepareError where there is no such folder, and says how far the path does exist."""
    if os.path.isdir(folder):
        return
    parent = next((p for p in folder.parents if os.path.isdir(p)), Path())
    obstacle = parent / folder.relative_to(parent).parts[0]
    if os.path.lexists(obstacle):
        what = f"{obstacle} is a file, or a link that leads nowhere"
    else:
        what = f"{parent.absolute()} holds {', '.join(entries(parent)[:8]) or 'nothing'}"
    raise PrepareError(
        f"no folder {folder} ({holds} are looked for there); {what}. "
        f"Set dataset.source in params.yaml to the folder that holds the dataset, relative to the profile's folder"
    )


def require_one_split(source: Path, names: Iterable[str]) -> None:
    """Raises PrepareError where a frame's name occurs twice: the same frame in two splits cannot be measured on."""
    twice = [name for name, uses in Counter(names).items() if uses > 1]
    complain(f"frames below {source} occur in more than one place; keep each in one split:", twice)


def entries(folder: Path) -> list[str]:
    """Names in a folder, sorted; without hidden ones and what operating systems strew about.

    Raises:
        PrepareError: it cannot be listed.
    """
    try:
        return sorted(_visible(os.listdir(folder)))
    except OSError as error:
        _cannot_list(error)


def files_below(folder: Path) -> list[Path]:
    """All files, relative to `folder`, sorted; without hidden files and what operating systems strew about.

    Raises:
        PrepareError: a folder that cannot be listed, or is by way of links the same as one above it or another one
            here; a name that is not UTF-8 or not one line; or something that is no file: a link that leads nowhere, a
            pipe, a device.
    """
    found = [Path(parent, name) for parent, names in _folders_below(folder) for name in names]
    names = [path.relative_to(folder).as_posix() for path in found]
    complain(f"names of files in {folder} are not UTF-8; rename them:", [n for n in names if not _is_utf8(n)])
    complain(
        f"names in {folder} hold control characters, such as line breaks; rename them:",
        [name for name in names if any(unicodedata.category(letter) == "Cc" for letter in name)],
    )
    complain(
        f"entries of {folder} are no files (links that lead nowhere, pipes, devices); remove them:",
        [name for name, path in zip(names, found, strict=True) if not path.is_file()],
    )
    return sorted(path.relative_to(folder) for path in found)


def _folders_below(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Every folder and the names of its files.

    Each is listed once: a tree of links may have no end, or millions of entries on a disk that holds a few.
    """
    root = Path(os.path.realpath(folder))
    reached = {place: place for place in (root, *root.parents)}
    for parent, folders, names in os.walk(folder, followlinks=True, onerror=_cannot_list):
        folders[:] = sorted(_visible(folders))
        again: list[str] = []
        for place in (Path(parent, name) for name in folders):
            first = reached.setdefault(Path(os.path.realpath(place)), place)
            if first is not place:
                again.append(f"{place} = {first}")
        complain(f"folders in {parent} are links to others that are listed, or lie above; remove the links:", again)
        yield parent, _visible(names)


def _visible(names: Iterable[str]) -> list[str]:
    return [name for name in names if not name.startswith(".") and name.lower() not in LITTER]


def _cannot_list(error: OSError) -> NoReturn:
    raise PrepareError(f"cannot list {error.filename}: {error.strerror}; mend its permissions") from error


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def complain(what: str, offenders: Sequence[str]) -> None:
    """Raises PrepareError if there is any offender: how many, what, and the first few by name."""
    if offenders:
        named = ", ".join(name if name.isprintable() else ascii(name) for name in offenders[:NAMED])
        more = f" and {len(offenders) - NAMED} more" if len(offenders) > NAMED else ""
        raise PrepareError(f"{len(offenders)} {what} {named}{more}")


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


def _unique_keys(images: Path, ending: str, leave_out: str | None) -> dict[str, Path]:
    files = [path for path in files_below(images) if path.parts[0] != leave_out]
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
