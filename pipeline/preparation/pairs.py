"""Pair each image with its mask by a key, and raise an error for files without a partner."""

import hashlib
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NoReturn

from pipeline.errors import DatasetError
from pipeline.preparation.adapter import RawSample

LITTER = ("thumbs.db", "desktop.ini", "icon\r")  # files that operating systems create, besides hidden ones
ID_LENGTH = 100  # characters; an id with a suffix must be a valid file name on every system
NAMED = 3  # offenders that an error names; it only counts the others


Pairs = dict[str, tuple[Path, Path | None]]  # image and mask by their key


def video_frames(
    source: Path, folders: Iterable[tuple[str, Path, Path]], image_ending: str, mask_ending: str
) -> list[RawSample]:
    """List frames of videos, named SEQUENCE_FRAME, from the folders of images and masks of each split.

    Raises DatasetError like `pair_files`, and if a frame occurs twice: in two splits it would be leakage.
    """
    frames = [
        (key.rpartition("/")[2], split, files)
        for split, images, masks in folders
        for key, files in pair_files(images, masks, image_ending, mask_ending).items()
    ]
    uses = Counter(name for name, *_ in frames)
    repeated = [name for name, count in uses.items() if count > 1]
    complain(f"frames below {source} occur in more than one place; keep each in one split:", repeated)
    ids = unique_ids(uses)
    return [RawSample(ids[name], split, name.rpartition("_")[0] or name, *files) for name, split, files in frames]


def pair_files(
    images: Path, masks: Path, image_ending: str = "", mask_ending: str = ".png", leave_out: str = ""
) -> Pairs:
    """Pair the images and masks below two folders by key, sorted: the path below `images` without ending and suffix.

    Raises DatasetError for a missing or empty folder, and for an image or mask without a partner.

    Args:
        image_ending: the part of an image's name between key and suffix.
        mask_ending: the part of a mask's name after the key, including the suffix. Files below `masks` with another
            ending are ignored (Cityscapes keeps polygons and colors beside the masks).
        leave_out: a subfolder of `images` that is ignored.
    """
    require_folder(images, "images")
    require_folder(masks, "masks")
    by_key = _unique_keys(images, image_ending, leave_out)
    wanted = {key + mask_ending for key in by_key}
    present = {path.as_posix() for path in files_below(masks)}
    missing, lone = sorted(wanted - present), sorted(n for n in present - wanted if n.endswith(mask_ending))
    alike = {unicodedata.normalize("NFC", name) for name in lone}
    complain(
        f"masks in {masks} have names that only look like those of their images: one is in Unicode form NFC, the other "
        f"in NFD; rename them to",
        [ascii(name) for name in missing if unicodedata.normalize("NFC", name) in alike],
    )
    complain(f"images in {images} have no mask; remove them, or add these masks to {masks}:", missing)
    complain(f"masks in {masks} have no image in {images}; remove them, or add their images:", lone)
    return {key: (images / by_key[key], masks / (key + mask_ending)) for key in sorted(by_key)}


def lone_images(images: Path, masks: Path) -> Pairs:
    """List the images below a folder; raise DatasetError like `pair_files`, and if the folder `masks` exists."""
    if masks.exists():
        raise DatasetError(f"{masks} exists, but images in {images} must have no masks; move both to another split")
    return {key: (images / path, None) for key, path in sorted(_unique_keys(images, "", "").items())}


def require_folder(folder: Path, holds: str) -> None:
    """Raise DatasetError if the folder does not exist; the message names the part of the path that exists."""
    if os.path.isdir(folder):
        return
    parent = next((p for p in folder.parents if os.path.isdir(p)), Path())
    what = f"{parent.absolute()} holds {', '.join(entries(parent)[:8]) or 'nothing'}"
    if os.path.lexists(obstacle := parent / folder.relative_to(parent).parts[0]):
        what = f"{obstacle} is a file or a broken link"
    raise DatasetError(
        f"no folder {folder}, which must hold the {holds}; {what}. "
        f"Set dataset.source in params.yaml to the folder that holds the dataset, relative to the profile's folder"
    )


def entries(folder: Path) -> list[str]:
    """List the names in a folder, sorted, without hidden files and LITTER."""
    try:
        return sorted(_visible(os.listdir(folder)))
    except OSError as error:
        _cannot_list(error)


def files_below(folder: Path) -> list[Path]:
    """List all files, relative to `folder`, sorted, without hidden files and LITTER.

    Links to folders are followed. Raises DatasetError for a link to a folder that is already listed (links may form a
    loop), for a name that is not UTF-8 or has control characters, and for an entry that is not a file.
    """
    root, found = Path(os.path.realpath(folder)), list[Path]()
    reached = {place: place for place in (root, *root.parents)}
    for parent, folders, names in os.walk(folder, followlinks=True, onerror=_cannot_list):
        folders[:] = sorted(_visible(folders))
        places = [Path(parent, name) for name in folders]
        firsts = [reached.setdefault(Path(os.path.realpath(place)), place) for place in places]
        complain(
            f"folders in {parent} are links to a folder that is already listed, or lies above; remove the links:",
            [f"{place} = {first}" for place, first in zip(places, firsts, strict=True) if first is not place],
        )
        found += [Path(parent, name).relative_to(folder) for name in _visible(names)]
    for category, what in (
        ("Cs", f"names of files in {folder} are not UTF-8; rename them:"),  # Python's surrogates for such bytes
        ("Cc", f"names in {folder} hold control characters, such as line breaks; rename them:"),
    ):
        complain(what, [str(path) for path in found if category in map(unicodedata.category, str(path))])
    complain(
        f"entries of {folder} are not files (broken links, pipes, devices); remove them:",
        [str(path) for path in found if not (folder / path).is_file()],
    )
    return sorted(found)


def _visible(names: Iterable[str]) -> list[str]:
    return [name for name in names if not name.startswith(".") and name.lower() not in LITTER]


def _cannot_list(error: OSError) -> NoReturn:
    raise DatasetError(f"cannot list {error.filename}: {error.strerror}; fix its permissions") from error


def complain(what: str, offenders: Sequence[str]) -> None:
    """Raise DatasetError if there are offenders; the message has their number, `what`, and the first few names."""
    if offenders:
        named = ", ".join(name if name.isprintable() else ascii(name) for name in offenders[:NAMED])
        more = f" and {len(offenders) - NAMED} more" if len(offenders) > NAMED else ""
        raise DatasetError(f"{len(offenders)} {what} {named}{more}")


def unique_ids(names: Iterable[str]) -> dict[str, str]:
    """Return an id for each name: a plain file name, unique even on file systems that ignore case.

    An id that would be too long, or equal to another, ends in a hash of the name. So it does not depend on the order.
    """
    plain = {name: re.sub(r"[^A-Za-z0-9._-]+", "_", name).lstrip("._-") for name in names}
    uses = Counter(base.lower() for base in plain.values())
    for name, base in plain.items():
        if not base or uses[base.lower()] > 1 or len(base) > ID_LENGTH:
            digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:10]
            plain[name] = f"{base[: ID_LENGTH - 11]}-{digest}".lstrip("-")
    return plain


def _unique_keys(images: Path, ending: str, leave_out: str) -> dict[str, Path]:
    from PIL import Image  # here, because this file is imported whenever parameters are read

    files = [path for path in files_below(images) if path.parts[0] != leave_out]
    readable = {suffix for suffix, form in Image.registered_extensions().items() if form in Image.OPEN}
    complain(
        f"files in {images} are not images (hidden files are ignored); move them elsewhere or convert them:",
        [path.as_posix() for path in files if path.suffix.lower() not in readable],
    )
    if not files:
        raise DatasetError(f"{images} holds 0 images; add some, or remove the folder if you do not use this split")
    by_key: dict[str, Path] = {}
    firsts = {path: by_key.setdefault(path.with_suffix("").as_posix().removesuffix(ending), path) for path in files}
    complain(
        f"images in {images} have the same name as another, so that both would get one mask; rename one of each pair:",
        [f"{first.as_posix()} = {path.as_posix()}" for path, first in firsts.items() if first != path],
    )
    return by_key
