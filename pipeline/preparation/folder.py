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
    "Use the layout images/train/a.jpg with masks/train/a.png, the same for val and test, with classes.yaml beside. "
    "Split train is required, val and test are optional; images/unlabelled needs no masks. "
    "Without splits, use images/ and masks/, and set dataset.split.by in params.yaml to sequences"
)

CLASSES_SCHEMA = (
    "It needs `classes`, a list of {name: road, color: [128, 64, 128], ids: [3]}, and `void`, a list of ids. "
    "For masks of colors, it may have `void_colors`, a list of colors"
)
LARGEST = 128 * 1024  # bytes of classes.yaml; the longest possible table needs a fraction of that
DEEPEST = 10  # nested lists or mappings in classes.yaml; a table needs four
COMPLAINTS = 20  # errors in classes.yaml that one message lists


@section
class ClassEntry:
    name: Annotated[str, Field(min_length=1)]
    color: Color
    ids: Annotated[list[Byte], Field(min_length=1)]  # raw ids in the masks, unless these are masks of colors


@section
class ClassesFile:
    """The content of classes.yaml; the position of a class is its train id."""

    classes: list[ClassEntry]
    void: list[Byte]  # raw ids of unlabelled pixels
    void_colors: list[Color] = field(default_factory=list)  # colors of unlabelled pixels in masks of colors


class Folder:
    """Images of any format that pillow reads; masks with the same path as 8-bit PNG: ids, or colors of classes.yaml."""

    @section
    class Params:
        # Regular expression whose first group is an image's sequence (the frames of one video, which must stay in one
        # split), such as '(.+)_[0-9]+'; empty: the image's folder
        sequence_pattern: str = ""

        @field_validator("sequence_pattern")
        @classmethod
        def _has_a_group(cls, pattern: str) -> str:
            try:
                groups = re.compile(pattern).groups
            except re.error as error:
                raise ValueError(f"{pattern!r} is not a regular expression: {error}") from error
            if pattern and not groups:
                raise ValueError(f"{pattern!r} has no group; add one, such as in '(.+)_[0-9]+'")
            return pattern

    @staticmethod
    def read(dataset: DatasetParams, drawn: Path) -> RawDataset:
        """List the samples of every split; if dataset.split divides by sequences, all pairs of images/ and masks/.

        A subfolder is a sequence (images/train/drive_1/0001.jpg). An image outside a subfolder is a sequence of its
        own. Unlabelled images have no masks.
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
                f"{images} holds {listed or 'nothing'}, but must hold the folders train, val and test "
                f"(optional: unlabelled). {LAYOUT}"
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
    """Read classes.yaml; raise DatasetError with all errors at once, each with its key."""
    try:
        # Through JSON, so that strict validation accepts a YAML list as a tuple.
        content = TypeAdapter(ClassesFile).validate_json(json.dumps(_plain_yaml(path), default=str))
    except ValidationError as error:
        lines = [f"  {_complaint(e)}" for e in error.errors()]
        lines[COMPLAINTS:] = [f"  and {len(lines) - COMPLAINTS} more"] if len(lines) > COMPLAINTS else []
        raise DatasetError("\n".join([f"{path} is not valid:", *lines, CLASSES_SCHEMA])) from error
    except OSError as error:
        raise DatasetError(f"cannot read {path}: {error.strerror}; fix its permissions") from error
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path} is not UTF-8 ({error}); save it as UTF-8") from error
    except (YAMLError, ValueError, TypeError) as error:  # such as a list as a key, a number with thousands of digits
        raise DatasetError(f"{path} is not plain YAML: {error}. {CLASSES_SCHEMA}") from error
    try:
        classes = tuple(LabelClass(c.name, c.color, tuple(c.ids)) for c in content.classes)
        void = tuple(content.void)
        if content.void_colors and not void:  # void colors need a void id: take one that no class has
            void = tuple(sorted(set(range(256)).difference(*(c.raw_ids for c in classes)))[-1:])
        return ClassTable(path.parent.name or "folder", classes, void, tuple(content.void_colors))
    except DatasetError as error:
        raise DatasetError(f"{path}: {error}") from error


def _plain_yaml(path: Path) -> Any:
    """Load a file; refuse aliases and deep nesting, which make a small file large in memory or slow to read."""
    if not path.is_file():
        raise DatasetError(f"no file {path}. {LAYOUT}")
    if (size := path.stat().st_size) > LARGEST:
        raise DatasetError(f"{path} has {size} bytes, more than any class table needs. {CLASSES_SCHEMA}")
    text, depth = path.read_text(encoding="utf-8"), 0
    for event in YAML(typ="safe", pure=True).parse(text):
        if isinstance(event, AliasEvent):
            raise ValueError(f"it has an alias (*{event.anchor}); write its value instead")
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        if depth > DEEPEST:
            raise ValueError(f"more than {DEEPEST} lists or mappings are nested in one another")
    return YAML(typ="safe", pure=True).load(text)


def _complaint(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"]) or "(whole file)"
    if error["type"] == "unexpected_keyword_argument":
        return f"{where}: unknown key"
    if error["type"] == "missing":
        return f"{where}: missing"
    return f"{where}: {error['msg']} (got {reprlib.repr(error['input'])})"
