"""Cars: a side profile, as wide as a car, with windows, wheels and lamps."""

from typing import NamedTuple

import numpy as np

from pipeline.preparation.streets.canvas import CIRCLE, NEAR, Board, Canvas, Thing, flat
from pipeline.preparation.streets.ground import PERIOD, Ground
from pipeline.preparation.streets.street_classes import CAR


class _Shape(NamedTuple):
    """Points in fractions of length (0 rear, 1 front) and height."""

    size: tuple[float, float, float]  # width, height and length in meters
    profile: np.ndarray  # from the rear over the roof to the front
    glass: tuple[int, ...]  # windscreens: edges of the profile, edge i from point i to i + 1
    window: np.ndarray


_SHAPES = (  # hatchback, sedan, van
    _Shape((1.75, 1.48, 4.0), np.array(
        [(0, 0.2), (0, 0.6), (0.1, 0.97), (0.2, 1), (0.55, 1), (0.73, 0.67), (0.97, 0.55), (1, 0.2)]
    ), (1, 4), np.array([(0.1, 0.68), (0.18, 0.94), (0.54, 0.94), (0.68, 0.68)])),
    _Shape((1.8, 1.42, 4.6), np.array(
        [(0, 0.2), (0, 0.62), (0.16, 0.67), (0.29, 1), (0.56, 1), (0.73, 0.67), (0.97, 0.56), (1, 0.2)]
    ), (2, 4), np.array([(0.2, 0.69), (0.31, 0.94), (0.55, 0.94), (0.69, 0.69)])),
    _Shape((1.95, 2.3, 5.2), np.array(
        [(0, 0.15), (0, 0.5), (0.01, 0.94), (0.03, 1), (0.72, 1), (0.86, 0.58), (0.98, 0.46), (1, 0.15)]
    ), (1, 4), np.array([(0.62, 0.6), (0.64, 0.88), (0.72, 0.88), (0.82, 0.6)])),
)  # fmt: skip
_PAINTS = np.array([
    (200, 200, 202), (168, 170, 174), (112, 114, 118), (42, 43, 46), (28, 34, 58),
    (48, 72, 120), (140, 34, 34), (52, 84, 62), (172, 156, 128), (188, 152, 50),
], float)  # fmt: skip
_GLASS, _TIRE, _HUB, _PLATE = np.array([(52.0, 60, 68), (24, 24, 25), (118, 118, 118), (222, 214, 170)])
_DETAILED = 40.0  # meters: wheels and lamps of cars farther away are hardly a pixel
_SQUARE = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])


def random_cars(rng: np.random.Generator, ground: Ground, side: int, start: float, speed: float) -> list[Thing]:
    """Parked rows where the road is wide enough, oncoming traffic, and often a car ahead, as fast as the camera.

    `side` is 1 for right-hand, -1 for left-hand traffic; the camera begins at z `start`, with `speed` meters a frame.
    """
    cars = []
    for curb in (-1, 1) if ground.road_half - ground.lane > 1.5 else ():
        density = rng.uniform(0.05, 0.65)
        for z in np.arange(0, PERIOD - 4, 6.0):
            if rng.random() < density:
                cars.append(_car(rng, curb * (ground.road_half - 1.1), z, 0.0, curb * side))
    z, oncoming = rng.uniform(0, 30), rng.uniform(0.4, 1.6)
    while z < PERIOD - 8:
        cars.append(_car(rng, -side * ground.lane / 2, z, -oncoming, -1))
        z += rng.uniform(12, 60)
    if rng.random() < 0.7:
        cars.append(_car(rng, side * ground.lane / 2, start + rng.uniform(9, 60), speed, 1))
    return cars


def _car(rng: np.random.Generator, x: float, z: float, speed: float, heading: int) -> Thing:
    """A car that drives away (`heading` 1) or comes closer (-1)."""
    shape = _SHAPES[rng.choice(len(_SHAPES), p=[0.42, 0.38, 0.2])]
    width, height, length = shape.size
    x += rng.uniform(-0.2, 0.2)
    color = _PAINTS[rng.integers(len(_PAINTS))] * rng.uniform(0.85, 1.1)
    lamps = np.array([176.0, 30, 28]) if heading > 0 else np.array([238.0, 236, 220])

    def place(sideways: np.ndarray | float, points: np.ndarray, distance: float) -> np.ndarray:
        """World points (n, 3) of points (n, 2) in fractions of length and height."""
        narrow = 1 - 0.28 * np.clip(points[:, 1] - 0.66, 0, 1) / 0.34  # cabins get narrower towards the roof
        along = distance + heading * (points[:, 0] - 0.5) * length
        return np.column_stack([x + sideways * narrow * width / 2, points[:, 1] * height, along])

    def paint(canvas: Canvas, distance: float) -> None:
        near = distance - length / 2
        if near < NEAR:
            return
        canvas.paint(flat(x - 0.53 * width, x + 0.53 * width, near, near + length), np.full(3, 26.0))
        visible = -1 if x > canvas.camera.offset else 1  # the side that the camera sees
        sides = place(visible, shape.profile, distance), place(-visible, shape.profile, distance)
        edges = range(len(shape.profile) - 1)
        for edge in edges if heading < 0 else reversed(edges):  # far to near: the end towards the camera comes last
            rise, run = np.abs(shape.profile[edge + 1] - shape.profile[edge])[::-1]
            metal = color * (1.18 - 0.3 * rise / (rise + run))  # what faces the sky is brighter
            quad = np.concatenate([sides[0][edge : edge + 2], sides[1][edge : edge + 2][::-1]])
            canvas.paint(quad, _GLASS * (1.0 if heading > 0 else 1.35) if edge in shape.glass else metal, CAR)
        canvas.paint(sides[0], color * 0.74, CAR)
        canvas.paint(place(visible, shape.window, distance), _GLASS, CAR)
        if distance > _DETAILED:
            return
        for axle in (0.19, 0.8):
            for radius, part in ((0.32, _TIRE), (0.18, _HUB)):
                wheel = (CIRCLE * radius + (axle * length, 0.32)) / (length, height)
                canvas.paint(place(visible, wheel, distance), part, CAR)
        end, lamp = Board(canvas, x, near, CAR), 0.5 * min(height, 1.7)
        parts = [(0, 0.94, 0.31, 0.09, color * 0.45), (0, 0.26, 0.5, 0.06, _PLATE)]  # bumper, number plate
        parts += [(s * 0.76, 0.16, 0.13, 0.11, _TIRE) for s in (-1, 1)]
        parts += [(s * 0.79, 0.17, lamp + 0.08, 0.08, lamps) for s in (-1, 1)]
        for middle, across, level, up, part in parts:
            end.fill(_SQUARE * (across * width / 2, up) + np.array([middle * width / 2, level]), part)

    outline = _SQUARE * (width / 2, length / 2) + np.array([x, 0])
    return Thing(z, paint, speed, outline=outline, heights=(0.0, 0.9 * height))
