"""Reference vectors: arrays computed by the methods' authors' own code, listed in an index.json."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor


class Vector(NamedTuple):
    """One entry of the index with its arrays, which are read when they are asked for."""

    folder: Path
    name: str
    file: str
    hyper: dict[str, Any]
    expected: dict[str, float]

    def arrays(self) -> dict[str, Tensor]:
        with np.load(self.folder / self.file, allow_pickle=False) as archive:
            return {name: torch.from_numpy(archive[name]) for name in archive.files}


def read_vectors(folder: Path) -> list[Vector]:
    index = json.loads((folder / "index.json").read_text())
    return [
        Vector(folder, entry["name"], entry["file"], entry.get("hyper", {}), entry["expected"])
        for entry in index["entries"]
    ]


def weights_under(arrays: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Arrays whose name begins with the prefix, without it."""
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
