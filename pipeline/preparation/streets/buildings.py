"""Houses with windows, doors and shops, and the fences and hedges of their gardens."""

import numpy as np

from pipeline.preparation.streets.canvas import NEAR, Canvas, Thing, upright
from pipeline.preparation.streets.ground import PERIOD
from pipeline.preparation.streets.street_classes import BUILDING, FENCE, TREE

_WALLS = np.array([  # brick, dark brick, sandstone, plaster; concrete, ochre, faded blue, faded red
    (142, 84, 66), (116, 66, 54), (176, 150, 118), (206, 196, 178),
    (150, 150, 148), (196, 172, 110), (128, 142, 160), (186, 136, 120),
], float)  # fmt: skip
_ROOFS = np.array([(92, 58, 50), (74, 76, 84), (110, 84, 66)], float)
_STORY = 3.0  # meters


def random_buildings(rng: np.random.Generator, x: float, lit: float, urban: float, garden: float) -> list[Thing]:
    """A row of houses along `x`: low and apart where `urban` is 0, blocks with shops side by side where it is 1."""
    things = []
    walls = lit * _WALLS[rng.permutation(len(_WALLS))[:4]]  # a street has its own few colors
    z = 0.0
    while z < PERIOD - 5:
        length = min(rng.uniform(7, 16), PERIOD - z)
        stories = int(rng.integers(2, 4)) + (int(rng.integers(0, 4)) if urban > 0.4 else 0)
        front = x + np.sign(x) * rng.uniform(0, 1.2 if garden else 0.2)
        shop = rng.random() < 0.7 * urban
        things.append(_building(rng, z, length, front, stories, walls[rng.integers(4)], shop))
        z += length + (rng.uniform(1.5, 12) if rng.random() < 0.75 - 0.6 * urban else 0.0)
    return things


def _building(
    rng: np.random.Generator, z: float, length: float, x: float, stories: int, wall: np.ndarray, shop: bool
) -> Thing:
    height = 1.2 + _STORY * stories + rng.uniform(0.8, 2.0)
    back = x + np.sign(x) * rng.uniform(7, 12)
    wall = wall * rng.uniform(0.82, 1.12) * rng.uniform(0.95, 1.05, 3)
    roof = _ROOFS[rng.integers(len(_ROOFS))] * rng.uniform(0.8, 1.2)
    glass = rng.uniform(35, 110) * np.array([0.9, 1.0, 1.12])
    frame = np.full(3, rng.choice([70.0, 210.0]))
    columns = max(int(length / rng.uniform(1.8, 3.4)), 1)
    bay, share, tall = length / columns, rng.uniform(0.4, 0.65), rng.uniform(1.2, 1.8)
    start, sill = np.meshgrid((np.arange(columns) + (1 - share) / 2) * bay, 1.1 + _STORY * np.arange(shop, stories))
    start, sill = start.ravel(), sill.ravel()
    bright = rng.random(len(start)) < 0.3  # reflections of the sky
    door, sign = rng.uniform(1, length - 2.5), rng.uniform(20, 230, 3)

    def paint(canvas: Canvas, near: float) -> None:
        if near + length < NEAR:
            return
        if near > NEAR:  # the gable towards the camera
            ridge = ((x + back) / 2, height * 1.1, near)
            gable = [(x, 0, near), (x, height, near), ridge, (back, height, near), (back, 0, near)]
            canvas.paint(gable, wall * 0.72, BUILDING)
        first, last, top = near + start, near + start + share * bay, sill + tall
        canvas.paint(upright(x, near, near + length, 0, height), wall, BUILDING)
        canvas.paint(upright(x, near, near + length, height - 0.9, height), roof)
        canvas.paint(upright(x, near, near + 0.15, 0, height), wall * 0.7)  # a groove between neighbors
        canvas.paint(upright(x, first, last, sill, top), frame)
        canvas.paint(upright(x, first + 0.12, last - 0.12, sill + 0.1, top - 0.1), glass)
        canvas.paint(upright(x, first + 0.12, last - 0.12, sill + 0.6 * tall, top - 0.1)[bright], glass * 1.6)
        if shop:
            panes, letters = near + np.arange(0.4, length - 1.5, 2.4), near + np.arange(1, length - 1, 0.6)
            canvas.paint(upright(x, near, near + length, 0, 3.4), sign * 0.35 + 30)
            canvas.paint(upright(x, near, near + length, 2.6, 3.4), sign)
            canvas.paint(upright(x, letters, letters + 0.3, 2.8, 3.2), 255 - sign)
            canvas.paint(upright(x, panes, panes + 2.0, 0.5, 2.4), glass * 1.2 + 20)
            canvas.paint(upright(x, panes + 0.3, panes + 0.9, 0.5, 1.2), 230 - sign)  # goods
        else:
            canvas.paint(upright(x, near + door, near + door + 1.3, 0, 2.3), frame)
            canvas.paint(upright(x, near + door + 0.15, near + door + 1.15, 0, 2.2), sign * 0.4)

    return Thing(z, paint, layer=0, outline=[(x, 0), (x, length)], heights=(0, height))


def random_fences(rng: np.random.Generator, x: float, gardens: bool, leaves: np.ndarray) -> list[Thing]:
    """Fences and hedges along `x`: most of the way before gardens, else a railing now and then."""
    things = []
    z = rng.uniform(0, 10)
    while z < PERIOD - 12:
        length, kind = rng.uniform(6, 15), rng.random()
        wood, metal = np.array([124.0, 98, 72]) * rng.uniform(0.6, 1.5), np.full(3, rng.uniform(25, 170))
        if gardens and kind < 0.3:
            things.append(_fence(rng, z, length, x, leaves, 0.1, TREE))
        elif kind < (0.85 if gardens else 0.4):
            color, gap = (wood, 0.05) if kind < 0.6 and gardens else (metal, 0.17)
            things.append(_fence(rng, z, length, x, color, gap, FENCE))
        z += length + rng.uniform(1, 6)
    return things


def _fence(
    rng: np.random.Generator, z: float, length: float, x: float, color: np.ndarray, gap: float, raw_id: int
) -> Thing:
    """Boards, bars or twigs with dark gaps of `gap` meters between them; those of a hedge end at any height."""
    start, ragged = np.arange(0, length, 0.25), 0.08 if raw_id == TREE else 0.0
    tops = rng.uniform(0.9, 1.8) * rng.uniform(1 - ragged, 1 + ragged, len(start))

    def paint(canvas: Canvas, near: float) -> None:
        canvas.paint(upright(x, near + start, near + start + 0.25, 0, tops), color * 0.6, raw_id)
        canvas.paint(upright(x, near + start, near + start + 0.25 - gap, 0.1 * tops, tops), color)
        canvas.paint(upright(x, near + start, near + start + 0.25, 0.88 * tops, 0.94 * tops), color * 1.15)

    return Thing(z, paint, layer=1)
