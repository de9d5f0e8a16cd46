"""A dataset of your own: images/SPLIT/, masks/SPLIT/ and classes.yaml; or without splits, images/ and masks/."""

import json
import re
import reprlib
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent

from pipeline.data.classes import Byte, ClassTable, ClassTableError, LabelClass
from pipeline.data.samples import SPLITS, UNLABELLED
from pipeline.params.dataset import SplitParams
from pipeline.preparation.adapter import PrepareError, RawDataset, RawSample
from pipeline.preparation.pairs import Pair, entries, lone_images, pair_files, require_folder, unique_ids
from pipeline.preparation.splitting import assign_splits

LAYOUT = (
    "Lay a dataset out as images/train/a.jpg with masks/train/a.png, the same for val and test "
    "(train is needed, val or test may be left out), and classes.yaml beside them; images/unlabelled needs no masks. "
    "A dataset without splits lies in images/ and masks/, and dataset.split.by in params.yaml is then sequences"
)

CLASSES_SCHEMA = (
    "It needs `classes`, a list of {name: road, color: [128, 64, 128], ids: [3]}, and `void`, a list of ids"
)

LARGEST = 128 * 1024
"""Bytes of classes.yaml; the longest table that is possible needs a fraction of that."""

DEEPEST = 10
"""Lists within lists in classes.yaml; a table needs four."""

COMPLAINTS = 20
"""How many of classes.yaml are told at once."""


class ClassEntry(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    name: Annotated[str, Field(min_length=1)]
    color: tuple[Byte, Byte, Byte]  # RGB
    ids: Annotated[list[Byte], Field(min_length=1)]  # raw ids in the masks


class ClassesFile(BaseModel):
    """What classes.yaml holds; the position of a class is its train id."""

    model_config = ConfigDict(extra="forbid", strict=True)

    classes: list[ClassEntry]
    void: list[Byte]  # raw ids that mean "nobody labelled this"


def read_folder(source: Path, split: SplitParams) -> RawDataset:
    """List a dataset of one's own: images of any format that pillow reads, masks as 8-bit PNG of the same path.

    Below a split, subfolders are sequences (images/train/drive_1/0001.jpg); an image outside of one is its own, unless
    split.sequence_pattern finds one in its path.

    Raises:
        PrepareError: a folder is missing or empty, images and masks do not pair up, classes.yaml is wrong, or there are
            too few sequences to divide.
    """
    require_folder(source / "images", "images")
    classes = read_classes(source / "classes.yaml")
    if split.by == "folders":
        pairs = [(name, pair) for name in _splits(source / "images") for pair in _pairs(source, name)]
        ids = unique_ids(f"{name}/{pair.key}" for name, pair in pairs)
        samples = [_sample(ids[f"{name}/{pair.key}"], name, pair, split.sequence_pattern) for name, pair in pairs]
    else:
        samples = _divided(source, split)
    return RawDataset(classes, samples)


def _divided(source: Path, split: SplitParams) -> list[RawSample]:
    """The samples of a dataset without splits, whole sequences to each."""
    images, masks = source / "images", source / "masks"
    pairs = pair_files(images, masks, image_ending="", mask_ending=".png", leave_out=UNLABELLED)
    lone = _pairs(source, UNLABELLED) if (images / UNLABELLED).exists() else []
    ids = unique_ids([*(pair.key for pair in pairs), *(f"{UNLABELLED}/{pair.key}" for pair in lone)])
    labelled = [_sample(ids[pair.key], "", pair, split.sequence_pattern) for pair in pairs]
    shares = {"train": 1 - split.val_share - split.test_share, "val": split.val_share, "test": split.test_share}
    assigned = assign_splits(Counter(sample.sequence for sample in labelled), shares, split.seed)
    divided = [sample._replace(split=assigned[sample.sequence]) for sample in labelled]
    return divided + [_sample(ids[f"{UNLABELLED}/{p.key}"], UNLABELLED, p, split.sequence_pattern) for p in lone]


def _pairs(source: Path, split: str) -> list[Pair]:
    images, masks = source / "images" / split, source / "masks" / split
    if split == UNLABELLED:
        return lone_images(images, masks)
    return pair_files(images, masks, image_ending="", mask_ending=".png")


def _sample(sample_id: str, split: str, pair: Pair, sequence_pattern: str) -> RawSample:
    folder = Path(pair.key).parent
    sequence = sample_id if folder == Path() else folder.as_posix()
    if sequence_pattern and (found := re.search(sequence_pattern, pair.key)):
        sequence = found[1] or sequence
    return RawSample(sample_id, split, sequence, pair.image, pair.mask)


def _splits(images: Path) -> list[str]:
    found = entries(images)
    foreign = [name for name in found if name not in SPLITS]
    if foreign or "train" not in found:
        held = ", ".join(found[:4]) + (f" and {len(found) - 4} more" if len(found) > 4 else "") if found else "nothing"
        raise PrepareError(
            f"{images} holds {held}, and should hold the folders train, val and test (unlabelled is possible). {LAYOUT}"
        )
    return [split for split in SPLITS if split in found]


def read_classes(path: Path) -> ClassTable:
    """Read classes.yaml.

    Raises:
        PrepareError: not there, not YAML, or wrong: all complaints at once, each with its place.
    """
    text = _yaml_as_json(path)
    try:
        content = ClassesFile.model_validate_json(text)
        classes = tuple(LabelClass(c.name, c.color, tuple(c.ids)) for c in content.classes)
        return ClassTable(path.parent.name or "folder", classes, tuple(content.void))
    except ValidationError as error:
        lines = [f"  {_complaint(e)}" for e in error.errors()]
        if len(lines) > COMPLAINTS:
            lines[COMPLAINTS:] = [f"  and {len(lines) - COMPLAINTS} more"]
        raise PrepareError("\n".join([f"{path} is not valid:", *lines, CLASSES_SCHEMA])) from error
    except ClassTableError as error:
        raise PrepareError(f"{path}: {error}") from error


def _yaml_as_json(path: Path) -> str:
    """By way of JSON, so that strict checking takes a YAML list for a tuple."""
    text = _small_text(path)
    try:
        _require_plain(text)
        return json.dumps(YAML(typ="safe", pure=True).load(text), default=str)
    except (YAMLError, ValueError, TypeError) as error:  # a list as a key, a number of thousands of digits
        raise PrepareError(f"{path} is not plain YAML: {error}. {CLASSES_SCHEMA}") from error


def _require_plain(text: str) -> None:
    """Raises ValueError for what makes a small file large in memory, or long to read: aliases and depth."""
    depth = 0
    for event in YAML(typ="safe", pure=True).parse(text):
        if isinstance(event, AliasEvent):
            raise ValueError(f"it has an alias (*{event.anchor}); write out what that stands for")
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        if depth > DEEPEST:
            raise ValueError(f"more than {DEEPEST} lists or mappings lie one in the other")


def _small_text(path: Path) -> str:
    if not path.is_file():
        raise PrepareError(f"no file {path}. {LAYOUT}")
    try:
        size = path.stat().st_size
        if size > LARGEST:
            raise PrepareError(f"{path} has {size} bytes, more than any class table. {CLASSES_SCHEMA}")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise PrepareError(f"cannot read {path}: {error.strerror}; mend its permissions") from error
    except UnicodeDecodeError as error:
        raise PrepareError(f"{path} is not UTF-8 ({error}); save it as that") from error


def _complaint(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"]) or "(whole file)"
    if error["type"] == "extra_forbidden":
        return f"{where}: unknown key"
    if error["type"] == "missing":
        return f"{where}: missing"
    return f"{where}: {error['msg']} (got {reprlib.repr(error['input'])})"
