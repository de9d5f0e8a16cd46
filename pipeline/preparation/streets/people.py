"""Pedestrians and cyclists, put together from limbs."""

import math

import numpy as np

from pipeline.preparation.streets.canvas import CIRCLE, NEAR, Board, Canvas, Thing
from pipeline.preparation.streets.ground import PERIOD, Ground
from pipeline.preparation.streets.street_classes import BICYCLIST, PEDESTRIAN

_SKINS = np.array([(224, 184, 158), (198, 150, 120), (140, 98, 72), (92, 62, 48)], float)
_FRAMES = np.array([(170, 40, 40), (40, 70, 150), (60, 60, 62), (180, 180, 176)], float)
_DARK = np.array([38.0, 34, 32])


def random_people(rng: np.random.Generator, ground: Ground, side: int, urban: float, speed: float) -> list[Thing]:
    """Pedestrians on both pavements, a few who cross the road, and cyclists at its edge; `side` as of random_cars."""
    people = []
    for curb in (-1, 1):
        for z in rng.uniform(0, PERIOD, int(rng.integers(5, 12 + round(10 * urban)))):
            x = curb * rng.uniform(ground.road_half + 0.7, ground.road_half + ground.pavement - 0.3)
            people.append(_person(rng, x, z, rng.uniform(-0.15, 0.15), rng.uniform(0.0, 0.5), PEDESTRIAN))
    for z in rng.uniform(0, PERIOD, int(rng.integers(0, 4))):
        people.append(_person(rng, rng.uniform(-ground.lane, ground.lane), z, 0.0, 1.0, PEDESTRIAN))
    for z in rng.uniform(0, PERIOD, int(rng.integers(3, 9))):
        curb = int(rng.choice([-1, 1]))
        ride = speed * rng.uniform(0.5, 0.95) * curb * side
        sideways = rng.uniform(0.1, 0.6) if rng.random() < 0.8 else 1.0
        people.append(_person(rng, curb * (ground.lane - rng.uniform(0.0, 0.35)), z, ride, sideways, BICYCLIST))
    return people


class _Person:
    """What a person looks like; `sideways` is 0 for one who is seen from behind or in front, 1 from the side."""

    def __init__(self, rng: np.random.Generator, sideways: float):
        self.sideways = sideways
        self.height = rng.uniform(1.45, 1.9) if rng.random() < 0.85 else rng.uniform(1.05, 1.4)
        self.phase = rng.uniform(0, 2 * np.pi)  # of the stride
        self.top, self.legs = rng.uniform((20, 25), (215, 120))[:, None] * rng.uniform(0.6, 1.15, (2, 3))
        self.skin = _SKINS[rng.integers(len(_SKINS))]
        self.hair = rng.uniform(20, 110) * np.array([1.1, 0.95, 0.8])
        self.frame = _FRAMES[rng.integers(len(_FRAMES))]  # of the bicycle


def _person(rng: np.random.Generator, x: float, z: float, speed: float, sideways: float, raw_id: int) -> Thing:
    look, paint_limbs = _Person(rng, sideways), _paint_walker if raw_id == PEDESTRIAN else _paint_cyclist

    def paint(canvas: Canvas, distance: float) -> None:
        if distance > NEAR + 1:
            paint_limbs(Board(canvas, x, distance, raw_id, look.height), look, math.sin(look.phase + distance))

    return Thing(z, paint, speed, outline=(x, 0.0) + 0.2 * CIRCLE, heights=(0.0, look.height))


def _paint_walker(board: Board, look: _Person, stride: float) -> None:
    swing = (0.03 + 0.11 * look.sideways) * stride
    half, stance = 0.13 - 0.04 * look.sideways, 0.05 * (1 - look.sideways)  # shoulders look narrower from the side
    board.line([(-half, 0.79), (-half - 0.03 - swing, 0.48)], 0.055, look.top * 0.82)
    for leg, shade in ((1, 0.85), (-1, 1.0)):
        foot = leg * (stance + swing)
        board.line([(leg * stance, 0.5), (foot, 0.04)], 0.085, look.legs * shade)
        board.line([(foot - 0.03, 0.02), (foot + 0.04, 0.02)], 0.04, _DARK)
    board.fill([(-half, 0.82), (half, 0.82), (half * 0.8, 0.46), (-half * 0.8, 0.46)], look.top)
    board.line([(half, 0.79), (half + 0.03 + swing, 0.48)], 0.055, look.top * 0.82)
    _paint_head(board, look, 0.0, 0.9)


def _paint_cyclist(board: Board, look: _Person, stride: float) -> None:
    """From behind or in front the wheels are slits; the more sideways, the rounder."""
    side, radius = look.sideways, 0.19
    rim = CIRCLE[[*range(12), 0]] * (max(radius * side, 0.012), radius)
    for end in (1, -1):
        board.line(rim + np.array([end * 0.3 * side, radius]), 0.03, _DARK)
    crank, saddle, handle, hub = (0.0, 0.17), (-0.13 * side, 0.52), (0.24 * side, 0.58), (-0.3 * side, radius)
    for start, stop in ((crank, saddle), (crank, handle), (saddle, handle), (saddle, hub)):
        board.line([start, stop], 0.022, look.frame)
    for foot, shade in ((stride, 0.8), (-stride, 1.0)):
        pedal = (0.07 * side * foot + 0.05 * (1 - side) * (1 if shade == 1 else -1), 0.16 + 0.08 * foot)
        knee = (0.12 * side + pedal[0] * 0.6, 0.4 + 0.05 * foot)
        board.line([saddle, knee, pedal], 0.08, look.legs * shade)
    half, shoulder = 0.13 - 0.03 * side, 0.12 * side
    hips = saddle[0]
    board.fill([(shoulder - half, 0.86), (shoulder + half, 0.86), (hips + 0.09, 0.5), (hips - 0.09, 0.5)], look.top)
    for arm in (half * (side - 1), half * (1 - side)):
        board.line([(shoulder + arm, 0.82), (handle[0] + arm, 0.61)], 0.05, look.top * 0.82)
    _paint_head(board, look, 0.15 * side, 0.95)


def _paint_head(board: Board, look: _Person, x: float, y: float) -> None:
    board.fill(CIRCLE * (0.055, 0.075) + (x, y + 0.015), look.hair)
    board.fill(CIRCLE * (0.045, 0.055) + (x, y - 0.01), look.skin)
