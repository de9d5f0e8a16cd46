"""Define the class table: the ids that a mask may hold, their classes and their colors."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field, TypeAdapter, ValidationError

from pipeline.data.files import write_json
from pipeline.errors import DatasetError

OPAQUE = 255  # value of the alpha channel
NAMED_COLORS = 3  # colors that an error names; it only counts the others
IGNORE_INDEX = 255  # train id of unlabelled pixels; no loss and no metric counts them
LISTED = 40  # raw ids that a message names
Byte = Annotated[int, Field(ge=0, le=255)]
Color = tuple[Byte, Byte, Byte]  # RGB


def id_list(raw_ids: Iterable[int]) -> str:
    """Return text for a message that names the first raw ids."""
    ids = list(raw_ids)
    return "ids " + ", ".join(map(str, ids[:LISTED])) + (" ..." if len(ids) > LISTED else "") if ids else "no id"


@dataclass(frozen=True)
class LabelClass:
    """One class; its position in the table is its train id."""

    name: str
    color: Color  # in drawn masks, and in masks of colors
    raw_ids: tuple[Byte, ...]  # ids in the dataset's own masks


@dataclass(frozen=True)
class ClassTable:
    """Classes in train-id order, and the raw ids and colors of unlabelled pixels."""

    dataset: str
    classes: tuple[LabelClass, ...]
    void_raw_ids: tuple[Byte, ...]
    void_colors: tuple[Color, ...] = ()  # need a void raw id, which they are translated to

    def __post_init__(self) -> None:
        table = f"class table of {self.dataset!r}"
        if not 2 <= len(self.classes) <= IGNORE_INDEX:
            raise DatasetError(f"{table}: {len(self.classes)} classes; list 2 to {IGNORE_INDEX}")
        raw_ids = [i for c in self.classes for i in c.raw_ids] + list(self.void_raw_ids)
        colors = [*(c.color for c in self.classes), *self.void_colors]
        if self.void_colors and not self.void_raw_ids:
            raise DatasetError(f"{table}: it has void colors but no void id; add one void id for them")
        for what, values in (("name", self.names), ("color", colors), ("raw id", raw_ids)):
            if repeated := sorted(str(value) for value, uses in Counter(values).items() if uses > 1):
                used = f"{what} {', '.join(repeated)} is used more than once"
                raise DatasetError(f"{table}: {used}; give every class its own")

    @property
    def names(self) -> list[str]:
        return [c.name for c in self.classes]

    def lookup(self) -> np.ndarray:
        """Return the train id of every raw id, uint8 (256,); IGNORE_INDEX for void and for unknown ids."""
        train_ids = np.full(256, IGNORE_INDEX, dtype=np.uint8)
        for train_id, label_class in enumerate(self.classes):
            train_ids[list(label_class.raw_ids)] = train_id
        return train_ids

    def known_raw_ids(self) -> np.ndarray:
        """Return which raw ids are a class or void, bool (256,)."""
        known = self.lookup() != IGNORE_INDEX
        known[list(self.void_raw_ids)] = True
        return known

    def raw_ids_by_color(self) -> dict[Color, int]:
        """Return the raw id of each color in masks of colors."""
        void = {color: raw_id for raw_id in self.void_raw_ids[:1] for color in self.void_colors}
        return {c.color: c.raw_ids[0] for c in self.classes} | void

    def to_raw_ids(self, colors: np.ndarray) -> np.ndarray:
        """Translate colors, uint8 (H, W, 4) RGBA, into raw ids, uint8 (H, W); raise DatasetError for unknown colors."""
        by_color = self.raw_ids_by_color()
        table = np.array([(*color, OPAQUE) for color in by_color], dtype=np.uint8).view(np.uint32)[:, 0]
        order, pixels = np.argsort(table), np.ascontiguousarray(colors).view(np.uint32)[..., 0]
        places = order[np.searchsorted(table, pixels, sorter=order).clip(max=len(order) - 1)]
        if (foreign := table[places] != pixels).any():
            found, counts = np.unique(pixels[foreign], return_counts=True)
            most = np.argsort(-counts, kind="stable")[:NAMED_COLORS]
            named = [
                f"{color if color[3] != OPAQUE else color[:3]} in {count} pixels"
                for color, count in zip(found[most].view(np.uint8).reshape(-1, 4).tolist(), counts[most], strict=True)
            ]
            raise DatasetError(f"{len(found)} colors that are not in the class table: {', '.join(named)}")
        return np.array(list(by_color.values()), dtype=np.uint8)[places]

    def to_train_ids(self, raw: np.ndarray) -> np.ndarray:
        """Translate raw ids, uint8 (H, W), into train ids; void and ids that are not in the table give IGNORE_INDEX."""
        return self.lookup()[raw]

    def palette(self) -> np.ndarray:
        """Return a color for every uint8 value, (256, 3) RGB; values that are not a class are black."""
        colors = np.zeros((256, 3), dtype=np.uint8)
        colors[: len(self.classes)] = [c.color for c in self.classes]
        return colors

    def save(self, path: Path) -> None:
        write_json(path, asdict(self))

    @classmethod
    def load(cls, path: Path) -> "ClassTable":
        try:
            return TypeAdapter(cls).validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise DatasetError(f"{path} is not a class table ({error}); run the prepare stage to write it") from error
