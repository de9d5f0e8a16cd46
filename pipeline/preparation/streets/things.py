"""Build the things in a street, each as a list of parts: houses, fences, trees, lamps, signs, cars, people."""

from typing import Any

import numpy as np

from pipeline.preparation.streets.canvas import SQUARE, Label, Part, circle, rectangles, upright

_DARK, _GLASS, _WHITE = np.array([(24.0, 24, 28), (50, 62, 78), (236, 234, 224)])
_WOOD, _LEAVES, _STEEL = np.array([(122.0, 72, 38), (56, 112, 44), (38, 46, 62)])
_WALLS = np.array([(206.0, 150, 118), (214, 190, 148), (196, 128, 104), (204, 172, 160)])
_BLUE, _YELLOW = (30, 80, 200), (240, 200, 30)
_SIGNS = ((0.7 * circle(), _BLUE), (0.85 * circle(3)[:, ::-1], _YELLOW), (0.62 * SQUARE, _BLUE))  # in meters
_PAINTS = np.array([(190.0, 28, 34), (222, 222, 226), (28, 130, 150), (212, 96, 30)])
_PROFILE = [(0, 0.2), (0, 0.6), (0.1, 0.97), (0.2, 1), (0.55, 1), (0.73, 0.67), (0.97, 0.55), (1, 0.2)]  # of a car,
_WINDOW = [(0.1, 0.68), (0.18, 0.94), (0.54, 0.94), (0.68, 0.68)]  # in fractions of length (0 rear) and height
_REAR, _FRONT = (0.18 * circle()[[*range(12), 0]] + np.array([x, 0.19]) for x in (-0.28, 0.28))  # wheels
_LEGS, _SKIN, _VEST, _TOP = np.array([(46, 40, 84), (205, 155, 125), (200, 225, 40), (190, 50, 155)])
_LIMBS = {  # seen from the side, in heights of the person: color, points, width of the line (0: a filled shape)
    Label.PEDESTRIAN: (
        (_LEGS, [(0.1, 0.05), (0, 0.5), (-0.1, 0.05)], 0.13), (_TOP, [(0, 0.54), (0, 0.72)], 0.26),
        (_DARK, [(0, 0.93)] * 2, 0.17), (_SKIN, [(0, 0.89)] * 2, 0.13),
    ),
    Label.BICYCLIST: (
        (4 * _DARK, _REAR, 0), (4 * _DARK, _FRONT, 0), (_DARK, _REAR, 0.06), (_DARK, _FRONT, 0.06),
        (_DARK, [(-0.28, 0.19), (0, 0.19), (-0.13, 0.5), (0.22, 0.55), (0.28, 0.19)], 0.05),
        (_LEGS, [(0.1, 0.4), (-0.1, 0.52), (0.1, 0.38), (0, 0.12)], 0.12),
        (_VEST, [(-0.09, 0.58), (0.05, 0.7)], 0.25), (_VEST, [(0.06, 0.72), (0.22, 0.6)], 0.08),
        (_SKIN, [(0.13, 0.87)] * 2, 0.14), (_VEST, [(0.12, 0.94)] * 2, 0.12),
    ),
}  # fmt: skip


def house(rng: np.random.Generator, x: float, length: float) -> list[Part]:
    """Return a house: a front along `x` with roof edge, windows and door, and a gable towards the camera."""
    stories, wall = int(rng.integers(2, 5)), rng.choice(_WALLS) * rng.uniform(0.8, 1.1)
    height, back = 3.2 * stories + 0.8, x + np.sign(x) * 8
    left, sill = np.meshgrid(np.arange(0.7, length - 1.6, 2.6), 1.2 + 3.2 * np.arange(stories))
    left, sill, door = left.ravel(), sill.ravel(), rng.uniform(0.5, length - 2)
    fronts: tuple[tuple[Any, Any, np.ndarray], ...] = (  # from and to in y and z, color
        ((0, height), (0, length), wall),
        ((height - 0.6, height), (0, length), wall * 0.55),
        ((sill - 0.1, sill + 1.7), (left, left + 1.5), _WHITE),
        ((sill, sill + 1.6), (left + 0.15, left + 1.35), _GLASS * 1.3),
        ((0, 2.3), (door, door + 1.3), _WOOD * 0.6),
    )
    gable = np.array([[(x, 0, 0), (x, height, 0), ((x + back) / 2, height + 2, 0), (back, height, 0), (back, 0, 0)]])
    parts = [Part(gable, wall * 0.75, Label.BUILDING)]
    return parts + [Part(rectangles(x, y, z), color, Label.BUILDING) for y, z, color in fronts]


def skyline(rng: np.random.Generator, z: float) -> list[Part]:
    """Return blocks and woods at the far end of the street, always `z` meters ahead."""
    kinds = 8 * ((SQUARE, _WALLS[0], Label.BUILDING), (circle(), _LEAVES, Label.TREE))
    places = zip(kinds, rng.uniform((3, 3, -z), (9, 7, z), (16, 3)), rng.uniform(0.75, 1.1, 16), strict=True)
    return [
        Part(upright(shape * at[:2], at[2], 0, z), light * color, label) for (shape, color, label), at, light in places
    ]


def fence(x: float, length: float) -> list[Part]:
    """Return boards with dark gaps between them, and a rail."""
    z = np.arange(0, length, 0.5)
    shapes = (((0, 1.35), (0, length), _WOOD * 0.4), ((0.1, 1.5), (z, z + 0.36), _WOOD), ((1, 1.2), (0, length), _WOOD))
    return [Part(rectangles(x, y, along), color, Label.FENCE) for y, along, color in shapes]


def tree(rng: np.random.Generator, x: float) -> list[Part]:
    """Return a trunk, and a crown of round parts; higher parts are lighter."""
    height, leaves = rng.uniform(4, 7), _LEAVES * rng.uniform(0.85, 1.15)
    middles = rng.uniform((-0.18, 0.45), (0.18, 0.85), (7, 1, 2))  # shares of the height, as all shapes here
    middles = middles[np.argsort(middles[:, 0, 1])]
    crown = middles + circle(24) * rng.uniform(0.14, 0.18, (7, 24, 1))
    shapes = [([(-0.04, 0), (-0.03, 0.6), (0.03, 0.6), (0.04, 0)], _WOOD * 0.6)]
    shapes += [(blob, leaves * (0.4 + 0.9 * middle[0, 1])) for blob, middle in zip(crown, middles, strict=True)]
    return [Part(upright(points, x, unit=height), color, Label.TREE) for points, color in shapes]


def lamp(x: float) -> list[Part]:
    """Return a street lamp on an arm that reaches over the road."""
    end = x - np.sign(x) * 1.2
    lines = (([(x, 0), (x, 5.5)], 0.34), ([(x, 5.5), (end, 5.8)], 0.25), ([(end, 5.8), (end - np.sign(x), 5.8)], 0.4))
    return [Part(upright(points, 0), _STEEL, Label.POLE, width) for points, width in lines]


def sign(rng: np.random.Generator, x: float) -> list[Part]:
    """Return a traffic sign on a pole: a white rim, a colored face, a white mark."""
    shape, face = _SIGNS[rng.integers(len(_SIGNS))]
    pole = Part(upright([(0, 0), (0, 2.6)], x), _STEEL, Label.POLE, 0.26)
    shapes = ((shape, _WHITE), (0.85 * shape, face), (0.25 * circle(), _WHITE))
    return [pole, *(Part(upright(points, x, 2.9), color, Label.SIGN) for points, color in shapes)]


def car(rng: np.random.Generator, x: float, heading: int, camera_x: float) -> list[Part]:
    """Return a car that drives away (`heading` 1) or comes closer (-1): body, windows, wheels, lights and shadow."""
    width, height, length, paint = 1.8, 1.5, 4.2, rng.choice(_PAINTS)
    visible = 1 if x < camera_x else -1  # the side that the camera sees

    def side(points: Any, sideways: int = visible) -> np.ndarray:
        along, up = np.transpose(points)
        narrow = 1 - 0.28 * np.clip(up - 0.66, 0, 1) / 0.34  # cabins get narrower towards the roof
        return np.stack([x + sideways * narrow * width / 2, up * height, heading * (along - 0.5) * length], axis=-1)

    outlines, shapes = np.stack([side(_PROFILE), side(_PROFILE, -visible)]), []
    for edge in range(len(_PROFILE) - 1)[::-heading]:  # far to near: the end towards the camera comes last
        run, rise = np.abs(np.subtract(_PROFILE[edge + 1], _PROFILE[edge]))
        color = _GLASS if edge in (1, 4) else paint * (1.1 - 0.2 * rise / (rise + run))  # level ones reflect the sky
        shapes.append((outlines[[0, 0, 1, 1], [edge, edge + 1, edge + 1, edge]], color))
    shapes += [(side(_PROFILE), paint * 0.8), (side(_WINDOW), _GLASS)]
    shapes += [(side((circle() * 0.34 + (axle, 0.34)) / (length, height)), _DARK) for axle in (0.8, 3.4)]
    lights = np.array((255.0, 60, 40)) if heading > 0 else _WHITE
    end = ((0, 0.15, (0.8, 0.14), _DARK), (0, 0.5, (0.23, 0.08), _WHITE))  # towards the camera, in meters: tires, plate
    for at, up, half, color in (*end, (-0.7, 0.8, (0.18, 0.1), lights), (0.7, 0.8, (0.18, 0.1), lights)):
        shapes.append((upright(SQUARE * half, x + at, up, -length / 2)[0], color))
    shadow = rectangles((x - 0.6 * width, x + 0.6 * width), 0, (-0.55 * length, 0.55 * length))
    return [Part(shadow, _DARK, Label.ROAD), *(Part(points[None], color, Label.CAR) for points, color in shapes)]


def person(rng: np.random.Generator, x: float, label: Label) -> list[Part]:
    """Return a pedestrian or a cyclist, seen more or less from the side."""
    sideways, height, light = rng.uniform((0.6, 1.65, 0.8), (1, 2.05, 1.15))
    return [
        Part(upright(np.array(points) * (sideways, 1), x, unit=height), light * color, label, width * height)
        for color, points, width in _LIMBS[label]
    ]
