"""Cars, pedestrians and cyclists of a street, drawn at random."""

import numpy as np

from pipeline.preparation.streets.vehicles import SHAPES
from pipeline.preparation.streets.world import PERIOD, Car, Ground, Person

_PAINTS = np.array(
    [
        [200, 200, 202],
        [168, 170, 174],
        [112, 114, 118],
        [42, 43, 46],
        [28, 34, 58],
        [48, 72, 120],
        [140, 34, 34],
        [52, 84, 62],
        [172, 156, 128],
        [188, 152, 50],
    ],
    np.float32,
)
_SKINS = np.array([[224, 184, 158], [198, 150, 120], [140, 98, 72], [92, 62, 48]], np.float32)


def random_cars(
    rng: np.random.Generator, ground: Ground, drives_on: int, start: float, speed: float
) -> tuple[Car, ...]:
    """Parked rows where the road is wide enough, oncoming traffic, and cars ahead at the camera's own speed.

    Args:
        rng: decides on everything.
        ground: the road.
        drives_on: 1 for right-hand, -1 for left-hand traffic.
        start: z of the camera in frame 0, meters.
        speed: of the camera, meters a frame.
    """
    cars = []
    if ground.road_half - ground.lane > 1.5:
        for side in (-1, 1):
            density = rng.uniform(0.05, 0.65)
            for z in np.arange(0, PERIOD - 4, 6.0):
                if rng.random() < density:
                    x = side * (ground.road_half - 1.1 + rng.uniform(-0.1, 0.1))
                    cars.append(_car(rng, x, z + rng.uniform(-0.5, 0.5), 0.0, side * drives_on))
    oncoming_speed = -rng.uniform(0.4, 1.6)
    z = rng.uniform(0, 30)
    while z < PERIOD - 8:
        cars.append(_car(rng, -drives_on * ground.lane / 2 + rng.uniform(-0.2, 0.2), z, oncoming_speed, -1))
        z += rng.uniform(12, 60)
    if rng.random() < 0.7:
        z = start + rng.uniform(9, 60)  # the gap to the camera lasts: both drive at the same speed
        cars.append(_car(rng, drives_on * ground.lane / 2 + rng.uniform(-0.2, 0.2), z, speed, 1))
    return tuple(cars)


def random_people(
    rng: np.random.Generator, ground: Ground, drives_on: int, urban: float, speed: float
) -> tuple[Person, ...]:
    """Pedestrians on both pavements, a few who cross the road, and cyclists at its edge."""
    people = []
    edge = ground.road_half + 0.7
    for side in (-1, 1):
        for z in rng.uniform(0, PERIOD, int(rng.integers(5, 12 + round(10 * urban)))):
            x = side * rng.uniform(edge, ground.road_half + ground.pavement - 0.3)
            people.append(_person(rng, x, z, rng.uniform(-0.15, 0.15), rng.uniform(0.0, 0.5), bicycle=False))
    for z in rng.uniform(0, PERIOD, int(rng.integers(0, 4))):
        x = rng.uniform(-ground.lane, ground.lane)
        people.append(_person(rng, x, z, 0.0, 1.0, bicycle=False))
    for z in rng.uniform(0, PERIOD, int(rng.integers(3, 9))):
        side = int(rng.choice([-1, 1]))
        towards = side * drives_on
        x = side * (ground.lane - rng.uniform(0.0, 0.35))
        ride = speed * rng.uniform(0.5, 0.95) * towards
        people.append(_person(rng, x, z, ride, rng.uniform(0.1, 0.6) if rng.random() < 0.8 else 1.0, bicycle=True))
    return tuple(people)


def _car(rng: np.random.Generator, x: float, z: float, speed: float, heading: int) -> Car:
    shape = str(rng.choice(list(SHAPES), p=[0.34, 0.28, 0.2, 0.18]))
    color = _PAINTS[rng.integers(len(_PAINTS))] * rng.uniform(0.85, 1.1)
    return Car(float(x), float(z), float(speed), heading, shape, color)


def _person(rng: np.random.Generator, x: float, z: float, speed: float, sideways: float, bicycle: bool) -> Person:
    return Person(
        x=float(x),
        z=float(z),
        speed=float(speed),
        height=rng.uniform(1.45, 1.9) if rng.random() < 0.85 else rng.uniform(1.05, 1.4),
        sideways=float(sideways),
        phase=rng.uniform(0, 2 * np.pi),
        top=rng.uniform(20, 215) * rng.uniform(0.55, 1.15, 3),
        legs=rng.uniform(25, 120) * rng.uniform(0.8, 1.2, 3),
        skin=_SKINS[rng.integers(len(_SKINS))],
        hair=rng.uniform(20, 110) * np.array([1.1, 0.95, 0.8]),
        bicycle=bicycle,
    )
