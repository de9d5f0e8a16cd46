"""What stands and moves in a street, each a list of parts: houses, fences, trees, lamps, signs, bins, cars, people."""

from typing import Any

import numpy as np

from pipeline.preparation.streets.canvas import SQUARE, Label, Part, circle, rectangles, upright

_DARK, _GLASS, _PLATE, _BROWN = np.array([(28.0, 26, 26), (52, 60, 68), (222, 214, 170), (1.15, 0.9, 0.75)])
_SIGNS = (0.45 * circle(), 0.5 * circle(3)[:, ::-1], 0.45 * circle(4), SQUARE * (0.68, 0.4))  # in meters
_SIGN_COLORS = np.array([(190, 35, 40), (30, 70, 160), (230, 230, 225), (225, 185, 40), (40, 110, 70)], float)
_CARS = (  # car, van: width, height and length in meters; then in fractions of length (0 rear) and height the profile
    # from the rear over the roof to the front, of which edges 1 and 4 are glass, and the window.
    ((1.75, 1.45, 4.3), [(0, 0.2), (0, 0.6), (0.1, 0.97), (0.2, 1), (0.55, 1), (0.73, 0.67), (0.97, 0.55), (1, 0.2)],
     [(0.1, 0.68), (0.18, 0.94), (0.54, 0.94), (0.68, 0.68)]),
    ((1.95, 2.3, 5.2), [(0, 0.15), (0, 0.5), (0.01, 0.94), (0.03, 1), (0.72, 1), (0.86, 0.58), (0.98, 0.46), (1, 0.15)],
     [(0.62, 0.6), (0.64, 0.88), (0.72, 0.88), (0.82, 0.6)]),
)  # fmt: skip
_WHEEL = 0.19 * circle()[[*range(12), 0]] + np.array([0, 0.19])
_LIMBS = {  # seen from the side, in heights of the person: color, width of the line, points
    Label.PEDESTRIAN: (
        ("legs", 0.085, [(0.11, 0.04), (0, 0.5), (-0.11, 0.04)]), ("top", 0.19, [(0, 0.58), (0, 0.73)]),
        ("arms", 0.055, [(0.15, 0.48), (0.06, 0.78), (-0.06, 0.78), (-0.15, 0.48)]),
        ("hair", 0.12, [(0, 0.93)] * 2), ("skin", 0.1, [(0, 0.9)] * 2),
    ),
    Label.BICYCLIST: (
        ("tires", 0.03, _WHEEL - np.array([0.3, 0])), ("tires", 0.03, _WHEEL + np.array([0.3, 0])),
        ("frame", 0.022, [(-0.3, 0.19), (0, 0.17), (-0.13, 0.52), (0.24, 0.58), (0, 0.17)]),
        ("legs", 0.085, [(0.04, 0.23), (0.1, 0.43), (-0.13, 0.5), (0.1, 0.37), (-0.04, 0.1)]),
        ("top", 0.19, [(-0.09, 0.6), (0.05, 0.72)]), ("arms", 0.055, [(0.09, 0.77), (0.25, 0.6)]),
        ("hair", 0.12, [(0.14, 0.93)] * 2), ("skin", 0.1, [(0.15, 0.9)] * 2),
    ),
}  # fmt: skip


def house(rng: np.random.Generator, x: float, length: float, lit: float, stories: int, shop: bool) -> list[Part]:
    """A front along `x` with windows, a gable towards the camera, and a door or a shop; `lit` is 1 in the sun."""
    height, back = 1.2 + 3.0 * stories + rng.uniform(0.8, 2.0), x + np.sign(x) * rng.uniform(7, 12)
    wall = lit * rng.uniform(90, 205) * np.array([1.08, 0.92, 0.8]) ** rng.uniform(-0.4, 2.0)  # bluish to brick
    glass, frame = rng.uniform(35, 110) * np.array([0.9, 1.0, 1.12]), np.full(3, rng.choice([70.0, 210.0]))
    columns = max(int(length / rng.uniform(1.8, 3.4)), 1)
    left = (np.arange(columns) + rng.uniform(0.18, 0.3)) * length / columns
    left, sill = map(np.ravel, np.meshgrid(left, 1.1 + 3.0 * np.arange(shop, stories)))
    right, top = left + rng.uniform(0.4, 0.65) * length / columns, sill + rng.uniform(1.2, 1.8)
    bright = rng.random(len(left)) < 0.3  # windows that reflect the sky
    door, paint = rng.uniform(1, length - 2.5), rng.uniform(20, 230, 3)
    fronts: list[tuple[Any, Any, np.ndarray]] = [  # from and to in y and z, color
        ((0, height), (0, length), wall),
        ((height - 0.9, height), (0, length), rng.uniform(60, 105) * _BROWN),
        ((0, height), (0, 0.15), wall * 0.7),  # a groove between neighbors
        ((sill, top), (left, right), frame),
        ((sill + 0.1, top - 0.1), (left + 0.12, right - 0.12), glass),
        ((sill[bright] + 0.8, top[bright] - 0.1), (left[bright] + 0.12, right[bright] - 0.12), glass * 1.6),
    ]
    if shop:
        panes, letters = np.arange(0.4, length - 1.5, 2.4), np.arange(1, length - 1, 0.6)
        fronts += [((0, 3.4), (0, length), 0.5 * paint + 30), ((2.8, 3.2), (letters, letters + 0.3), 255 - paint)]
        fronts += [((0.5, 2.4), (panes, panes + 2.0), glass * 1.2 + 20)]
    else:
        fronts += [((0, 2.3), (door, door + 1.3), frame), ((0, 2.2), (door + 0.15, door + 1.15), paint * 0.4)]
    gable = np.array([[(x, 0, 0), (x, height, 0), ((x + back) / 2, 1.1 * height, 0), (back, height, 0), (back, 0, 0)]])
    parts = [Part(gable, wall * 0.72, Label.BUILDING)]
    return parts + [Part(rectangles(x, y, z), color, Label.BUILDING) for y, z, color in fronts]


def skyline(rng: np.random.Generator, z: float) -> list[Part]:
    """Blocks and woods at the far end of the street, `z` meters ahead, which do not come closer."""
    parts = []
    for shape, high, label in 12 * ((SQUARE, 15, Label.BUILDING), (circle(), 9, Label.TREE)):
        color = rng.uniform(0.7, 1.3) * np.array((128, 116, 108) if label == Label.BUILDING else (58, 76, 46))
        parts.append(Part(upright(shape * rng.uniform(5, (17, high)), rng.uniform(-1.1, 1.1) * z, 0, z), color, label))
    return parts


def fence(rng: np.random.Generator, x: float, length: float, leaves: np.ndarray, garden: bool) -> list[Part]:
    """Bars or boards with dark gaps between them, or before gardens the twigs of a hedge, which end at any height."""
    wood, metal = rng.uniform(65, 150) * _BROWN, np.full(3, rng.uniform(25, 170))
    kinds = ((metal, 0.17, Label.FENCE, 0.0), (wood, 0.05, Label.FENCE, 0.0), (leaves, 0.1, Label.TREE, 0.08))
    color, gap, label, ragged = kinds[rng.integers(3) if garden else 0]
    z = np.arange(0, length, 0.25)
    tops = rng.uniform(0.9, 1.8) * rng.uniform(1 - ragged, 1 + ragged, len(z))
    return [
        Part(rectangles(x, (0, tops), (z, z + 0.25)), color * 0.6, label),
        Part(rectangles(x, (0.1 * tops, tops), (z, z + 0.25 - gap)), color, label),
        Part(rectangles(x, (0.88 * tops, 0.94 * tops), (z, z + 0.25)), color * 1.15, label),
    ]


def tree(rng: np.random.Generator, x: float, leaves: np.ndarray) -> list[Part]:
    """A trunk, ragged parts of a crown of which the lower ones lie in the shadow of the others, and tufts of leaves."""
    height, leaves = rng.uniform(3.5, 9.5), leaves * rng.uniform(0.8, 1.2)
    middles = rng.uniform((-0.2, 0.5), (0.2, 0.8), (6, 1, 2))  # in heights, as all here
    middles = middles[np.argsort(middles[:, 0, 1])]
    crown = middles + circle(36) * rng.uniform(0.1, 0.19, (6, 36, 1))
    tufts = middles.repeat(40, axis=0) + rng.normal(0, 0.07, (240, 1, 2))
    tufts = tufts + circle(6) * rng.uniform(0.006, 0.022, (240, 6, 1))
    shapes = [([(-0.025, 0), (-0.015, 0.6), (0.015, 0.6), (0.025, 0)], rng.uniform(50, 105) * _BROWN)]
    shapes += [(blob, leaves * (0.3 + 0.8 * middle[0, 1])) for blob, middle in zip(crown, middles, strict=True)]
    shapes += [(tufts[first::4], leaves * shade) for first, shade in enumerate((0.6, 0.85, 1.05, 1.25))]
    return [Part(upright(points, x, unit=height), color, Label.TREE) for points, color in shapes]


def lamp(x: float, height: float, color: np.ndarray) -> list[Part]:
    """A street lamp on an arm that reaches over the road."""
    end, top = x - np.sign(x) * height / 5, height + 0.25
    lines = (([(x, 0), (x, height)], 0.2), ([(x, height), (end, top)], 0.1), ([(end, top), (end + 0.5, top)], 0.2))
    return [Part(upright(points, 0), color, Label.POLE, width) for points, width in lines]


def sign(rng: np.random.Generator, x: float) -> list[Part]:
    """A traffic sign in two colors, on a pole."""
    shape, height = _SIGNS[rng.integers(len(_SIGNS))], rng.uniform(2.4, 3.4)
    rim, face = rng.permutation(_SIGN_COLORS)[:2]
    pole = Part(upright([(0, 0), (0, height)], x), np.full(3, rng.uniform(70, 160)), Label.POLE, 0.13)
    shapes = ((shape, rim), (0.76 * shape, face), (0.13 * circle(), rim))
    return [pole, *(Part(upright(points, x, height), color, Label.SIGN) for points, color in shapes)]


def dustbin(rng: np.random.Generator, x: float) -> list[Part]:
    """It belongs to no class."""
    return [Part(upright(SQUARE * (0.3, 0.5), x, 0.5), rng.uniform(20, 120, 3), Label.VOID)]


def car(rng: np.random.Generator, x: float, heading: int, camera_x: float) -> list[Part]:
    """A car that drives away (`heading` 1) or comes closer (-1): its profile as wide as it is, and what is on it."""
    (width, height, length), profile, window = _CARS[int(rng.random() < 0.2)]
    x += rng.uniform(-0.2, 0.2)
    paint = rng.uniform(30, 200) * rng.permutation([1.15, 0.85, 0.7]) ** rng.choice([0.1, 0.1, 1.8])  # mostly gray
    visible = 1 if x < camera_x else -1  # the side that the camera sees

    def side(points: Any, sideways: int = visible) -> np.ndarray:
        along, up = np.transpose(points)
        narrow = 1 - 0.28 * np.clip(up - 0.66, 0, 1) / 0.34  # cabins get narrower towards the roof
        return np.stack([x + sideways * narrow * width / 2, up * height, heading * (along - 0.5) * length], axis=-1)

    outlines, shapes = np.stack([side(profile), side(profile, -visible)]), []
    for edge in range(len(profile) - 1)[::-heading]:  # far to near: the end towards the camera comes last
        run, rise = np.abs(np.subtract(profile[edge + 1], profile[edge]))
        color = _GLASS if edge in (1, 4) else paint * (1.18 - 0.3 * rise / (rise + run))  # level ones see the sky
        shapes.append((outlines[[0, 0, 1, 1], [edge, edge + 1, edge + 1, edge]], color))
    shapes += [(side(profile), paint * 0.74), (side(window), _GLASS)]
    for axle in (0.19, 0.8):
        for radius, color in ((0.32, _DARK), (0.18, 4 * _DARK)):
            shapes.append((side((circle() * radius + (axle * length, 0.32)) / (length, height)), color))
    lights = np.array((176.0, 30, 28) if heading > 0 else (238.0, 236, 220))
    for at, half, y, tall, color in (  # in halves of the car's width and in meters: tires, plate, lights
        (0, 0.9, 0.13, 0.12, _DARK), (0, 0.26, 0.5, 0.06, _PLATE),
        (-0.79, 0.17, 0.78, 0.08, lights), (0.79, 0.17, 0.78, 0.08, lights),
    ):  # fmt: skip
        shapes.append((upright(SQUARE * (half * width / 2, tall), x + at * width / 2, y, -length / 2)[0], color))
    underneath = rectangles((x - 0.53 * width, x + 0.53 * width), 0, (-length / 2, length / 2))
    return [Part(underneath, _DARK, Label.ROAD), *(Part(points[None], color, Label.CAR) for points, color in shapes)]


def person(rng: np.random.Generator, x: float, sideways: float, label: Label) -> list[Part]:
    """A pedestrian or a cyclist; `sideways` is 0 for one who is seen from behind or in front, 1 from the side."""
    height, top = rng.uniform(1.3, 1.9), rng.uniform(20, 215) * rng.uniform(0.6, 1.15, 3)
    colors = {"tires": _DARK, "frame": rng.choice(_SIGN_COLORS), "hair": rng.uniform(20, 110) * _BROWN}
    colors |= {"top": top, "arms": top * 0.8, "legs": rng.uniform(20, 130) * rng.uniform(0.8, 1.1, 3)}
    colors["skin"] = rng.uniform(85, 205) * _BROWN
    return [
        Part(upright(np.array(points) * (sideways, 1), x, unit=height), colors[name], label, width * height)
        for name, width, points in _LIMBS[label]
    ]
