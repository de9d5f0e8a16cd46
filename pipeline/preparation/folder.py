"""A dataset of your own: images/SPLIT/, masks/SPLIT/ and classes.yaml."""

import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.data.classes import ClassTable, ClassTableError, LabelClass
from pipeline.data.samples import SPLITS, UNLABELLED
from pipeline.preparation.adapter import PrepareError, RawDataset, RawSample
from pipeline.preparation.pairs import Pair, lone_images, pair_files, require_folder, unique_ids

LAYOUT = (
    "Lay a dataset out as images/train/a.jpg with masks/train/a.png, the same for val and test "
    "(train is needed, val or test may be left out), and classes.yaml beside them; images/unlabelled needs no masks"
)

CLASSES_SCHEMA = (
    "It needs `classes`, a list of {name: road, color: [128, 64, 128], ids: [3]}, and `void`, a list of ids"
)

Byte = Annotated[int, Field(ge=0, le=255)]


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


def read_folder(source: Path) -> RawDataset:
    """List a dataset of one's own: images of any format that pillow reads, masks as 8-bit PNG of the same path.

    Below a split, subfolders are sequences (images/train/drive_1/0001.jpg); an image outside of one is its own.

    Raises:
        PrepareError: a folder is missing or empty, images and masks do not pair up, or classes.yaml is wrong.
    """
    require_folder(source / "images", "images")
    classes = read_classes(source / "classes.yaml")
    pairs = [(split, pair) for split in _splits(source / "images") for pair in _pairs(source, split)]
    ids = unique_ids(f"{split}/{pair.key}" for split, pair in pairs)
    return RawDataset(classes, [_sample(ids[f"{split}/{pair.key}"], split, pair) for split, pair in pairs])


def _pairs(source: Path, split: str) -> list[Pair]:
    images, masks = source / "images" / split, source / "masks" / split
    if split == UNLABELLED:
        return lone_images(images, masks)
    return pair_files(images, masks, image_ending="", mask_ending=".png")


def _sample(sample_id: str, split: str, pair: Pair) -> RawSample:
    folder = Path(pair.key).parent
    sequence = sample_id if folder == Path() else folder.as_posix()
    return RawSample(sample_id, split, sequence, pair.image, pair.mask)


def _splits(images: Path) -> list[str]:
    found = sorted(path.name for path in images.iterdir() if not path.name.startswith("."))
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
        lines = "\n".join(f"  {_complaint(e)}" for e in error.errors())
        raise PrepareError(f"{path} is not valid:\n{lines}\n{CLASSES_SCHEMA}") from error
    except ClassTableError as error:
        raise PrepareError(f"{path}: {error}") from error


def _yaml_as_json(path: Path) -> str:
    """By way of JSON, so that strict checking takes a YAML list for a tuple."""
    try:
        return json.dumps(YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8")), default=str)
    except OSError as error:
        raise PrepareError(f"cannot read {path}: {error.strerror}. {LAYOUT}") from error
    except (YAMLError, ValueError, TypeError) as error:  # not UTF-8, a list as a key, a list that holds itself
        raise PrepareError(f"{path} is not plain YAML: {error}") from error


def _complaint(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"]) or "(whole file)"
    if error["type"] == "extra_forbidden":
        return f"{where}: unknown key"
    if error["type"] == "missing":
        return f"{where}: missing"
    return f"{where}: {error['msg']} (got {error['input']!r})"
