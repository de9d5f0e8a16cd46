"""A dataset of your own: images/SPLIT/, masks/SPLIT/ and classes.yaml; or without splits, images/ and masks/."""

import json
import re
import reprlib
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError, field_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent

from pipeline.data.classes import Byte, ClassTable, Color, LabelClass
from pipeline.data.samples import LABELLED_SPLITS, SPLITS, UNLABELLED
from pipeline.errors import DatasetError
from pipeline.params.dataset import DatasetParams
from pipeline.params.sections import section
from pipeline.preparation.adapter import RawDataset, RawSample
from pipeline.preparation.pairs import entries, lone_images, pair_files, require_folder, unique_ids

LAYOUT = (
    "Lay a dataset out as images/train/a.jpg with masks/train/a.png, the same for val and test "
    "(train is needed, val or test may be left out), and classes.yaml beside them; images/unlabelled needs no masks. "
    "A dataset without splits lies in images/ and masks/, and dataset.split.by in params.yaml is then sequences"
)

CLASSES_SCHEMA = (
    "It needs `classes`, a list of {name: road, color: [128, 64, 128], ids: [3]}, and `void`, a list of ids. "
    "`void_colors`, a list of colors, is for masks of colors"
)
LARGEST = 128 * 1024  # bytes of classes.yaml; the longest table that is possible needs a fraction of that
DEEPEST = 10  # lists within lists in classes.yaml; a table needs four
COMPLAINTS = 20  # of classes.yaml that are told at once


@section
class ClassEntry:
    name: Annotated[str, Field(min_length=1)]
    color: Color
    ids: Annotated[list[Byte], Field(min_length=1)]  # raw ids in the masks, if these are not of colors


@section
class ClassesFile:
    """What classes.yaml holds; the position of a class is its train id."""

    classes: list[ClassEntry]
    void: list[Byte]  # raw ids that mean "nobody labelled this"
    void_colors: list[Color] = field(default_factory=list)  # the same in masks of colors


class Folder:
    """Images of any format that pillow reads, masks of the same path as 8-bit PNG: ids, or colors of classes.yaml."""

    @section
    class Params:
        # Regular expression whose first group is an image's sequence (frames of one video, which must not be divided
        # among splits), such as '(.+)_[0-9]+'; empty: its folder
        sequence_pattern: str = ""

        @field_validator("sequence_pattern")
        @classmethod
        def _has_a_group(cls, pattern: str) -> str:
            try:
                groups = re.compile(pattern).groups
            except re.error as error:
                raise ValueError(f"{pattern!r} is no regular expression: {error}") from error
            if pattern and not groups:
                raise ValueError(f"{pattern!r} has no group, such as in '(.+)_[0-9]+'")
            return pattern

    @staticmethod
    def read(dataset: DatasetParams, drawn: Path) -> RawDataset:
        """List the samples of every split, or where dataset.split divides by sequences, all that have masks.

        Below that, subfolders are sequences (images/train/drive_1/0001.jpg); an image outside of one is its own.
        """
        images, masks = Path(dataset.source, "images"), Path(dataset.source, "masks")
        require_folder(images, "images")
        classes = read_classes(Path(dataset.source, "classes.yaml"))
        held = entries(images)
        if dataset.split.by == "sequences":
            found = {"": pair_files(images, masks, leave_out=UNLABELLED)}
        elif "train" in held and set(held) <= set(SPLITS):
            found = {s: pair_files(images / s, masks / s) for s in LABELLED_SPLITS if s in held}
        else:
            listed = ", ".join(held[:4]) + (f" and {len(held) - 4} more" if len(held) > 4 else "")
            raise DatasetError(
                f"{images} holds {listed or 'nothing'}, and should hold the folders train, val and test "
                f"(unlabelled is possible). {LAYOUT}"
            )
        if UNLABELLED in held:
            found[UNLABELLED] = lone_images(images / UNLABELLED, masks / UNLABELLED)
        places = {f"{split}/{key}".lstrip("/"): (split, key) for split, pairs in found.items() for key in pairs}
        samples = []
        for name, sample_id in unique_ids(places).items():
            split, key = places[name]
            match = re.search(pattern, key) if (pattern := dataset.options.sequence_pattern) else None
            sequence = (match and match[1]) or key.rpartition("/")[0] or sample_id
            samples.append(RawSample(sample_id, split, sequence, *found[split][key]))
        return RawDataset(classes, samples)


def read_classes(path: Path) -> ClassTable:
    """Read classes.yaml; raises DatasetError with all complaints at once, each with its place."""
    try:
        # By way of JSON, so that strict checking takes a YAML list for a tuple.
        content = TypeAdapter(ClassesFile).validate_json(json.dumps(_plain_yaml(path), default=str))
    except ValidationError as error:
        lines = [f"  {_complaint(e)}" for e in error.errors()]
        lines[COMPLAINTS:] = [f"  and {len(lines) - COMPLAINTS} more"] if len(lines) > COMPLAINTS else []
        raise DatasetError("\n".join([f"{path} is not valid:", *lines, CLASSES_SCHEMA])) from error
    except OSError as error:
        raise DatasetError(f"cannot read {path}: {error.strerror}; mend its permissions") from error
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path} is not UTF-8 ({error}); save it as that") from error
    except (YAMLError, ValueError, TypeError) as error:  # a list as a key, a number of thousands of digits
        raise DatasetError(f"{path} is not plain YAML: {error}. {CLASSES_SCHEMA}") from error
    try:
        classes = tuple(LabelClass(c.name, c.color, tuple(c.ids)) for c in content.classes)
        void = tuple(content.void)
        if content.void_colors and not void:  # they stand for an id that no mask has
            void = tuple(sorted(set(range(256)).difference(*(c.raw_ids for c in classes)))[-1:])
        return ClassTable(path.parent.name or "folder", classes, void, tuple(content.void_colors))
    except DatasetError as error:
        raise DatasetError(f"{path}: {error}") from error


def _plain_yaml(path: Path) -> Any:
    """Load a file, but for what makes a small one large in memory, or long to read: aliases and depth."""
    if not path.is_file():
        raise DatasetError(f"no file {path}. {LAYOUT}")
    if (size := path.stat().st_size) > LARGEST:
        raise DatasetError(f"{path} has {size} bytes, more than any class table. {CLASSES_SCHEMA}")
    text, depth = path.read_text(encoding="utf-8"), 0
    for event in YAML(typ="safe", pure=True).parse(text):
        if isinstance(event, AliasEvent):
            raise ValueError(f"it has an alias (*{event.anchor}); write out what that stands for")
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        if depth > DEEPEST:
            raise ValueError(f"more than {DEEPEST} lists or mappings lie one in the other")
    return YAML(typ="safe", pure=True).load(text)


def _complaint(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"]) or "(whole file)"
    if error["type"] == "unexpected_keyword_argument":
        return f"{where}: unknown key"
    if error["type"] == "missing":
        return f"{where}: missing"
    return f"{where}: {error['msg']} (got {reprlib.repr(error['input'])})"
