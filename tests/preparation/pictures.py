"""Tiny pictures on disk, for raw layouts that tests build themselves."""

from pathlib import Path

import numpy as np
from PIL import Image

HEIGHT, WIDTH = 24, 32


def draw_image(path: Path, seed: int) -> Path:
    """A picture of coarse random patches: two seeds look different, also as thumbnails. The suffix is the format."""
    path.parent.mkdir(parents=True, exist_ok=True)
    patches = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    Image.fromarray(patches.repeat(4, axis=0).repeat(4, axis=1)).save(path)
    return path


def draw_mask(path: Path, *ids: int) -> Path:
    """A mask of vertical stripes, one for each id, 8-bit grey."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stripes = np.array(ids, dtype=np.uint8)[np.arange(WIDTH) * len(ids) // WIDTH]
    Image.fromarray(np.tile(stripes, (HEIGHT, 1))).save(path)
    return path
