"""One street for one sequence: houses, trees, furniture and traffic put in their places at random."""

import numpy as np

from pipeline.preparation.streets.conditions import random_ground, random_light, random_skyline
from pipeline.preparation.streets.facades import WALLS, facade_texture
from pipeline.preparation.streets.street_classes import FENCE, TREE
from pipeline.preparation.streets.textures import (
    Texture,
    board_texture,
    foliage_texture,
    fractal_noise,
    hedge_texture,
    railing_texture,
)
from pipeline.preparation.streets.traffic import random_cars, random_people
from pipeline.preparation.streets.world import (
    PERIOD,
    Barrier,
    Bin,
    Building,
    Ground,
    Light,
    Pole,
    Tree,
    World,
)

_SIGN_COLORS = np.array([[190, 35, 40], [30, 70, 160], [230, 230, 225], [225, 185, 40], [40, 110, 70]], np.float32)


def random_world(rng: np.random.Generator) -> World:
    """Draw a whole street. The same generator state gives the same street."""
    light, ground = random_light(rng), random_ground(rng)
    plate = fractal_noise(rng, 256, (4, 8, 16, 32, 64, 128, 256), 0.8)
    urban = rng.random()  # 0 a suburb with gardens and low houses, 1 a town with blocks up to the pavement
    garden = 0.0 if urban > 0.62 else rng.uniform(1.5, 5.0)
    drives_on = int(rng.choice([-1, 1]))  # left-hand or right-hand traffic
    start, speed = rng.uniform(0, PERIOD), rng.uniform(0.7, 1.8)
    return World(
        light=light,
        ground=ground,
        skyline=random_skyline(rng),
        clouds=fractal_noise(rng, 256, (4, 8, 16, 32), 0.6),
        buildings=_buildings(rng, plate, light, ground, urban, garden),
        barriers=_barriers(rng, plate, ground, garden),
        trees=_trees(rng, plate, ground, garden),
        poles=_poles(rng, ground, urban),
        bins=_bins(rng, ground),
        cars=random_cars(rng, ground, drives_on, start, speed),
        people=random_people(rng, ground, drives_on, urban, speed),
        start=start,
        speed=speed,
        focal=rng.uniform(0.85, 1.25),
        horizon=rng.uniform(0.42, 0.56),
        center=rng.uniform(0.4, 0.6),
        camera_height=rng.uniform(1.25, 1.9),
        camera_x=drives_on * ground.lane / 2 + rng.uniform(-0.3, 0.3),
        bend=rng.uniform(-0.0012, 0.0012),
        hood=rng.uniform(0.02, 0.06) if rng.random() < 0.5 else 0.0,
        hood_color=rng.uniform(15, 150) * rng.uniform(0.8, 1.2, 3),
    )


def _buildings(
    rng: np.random.Generator, plate: np.ndarray, light: Light, ground: Ground, urban: float, garden: float
) -> tuple[Building, ...]:
    buildings = []
    palette = WALLS[rng.permutation(len(WALLS))[:4]]  # a street has its own few colors
    story = rng.uniform(2.9, 3.4)
    for side in (-1, 1):
        # Shadows that fall to the right come from a sun on the left, which shines on the fronts on the right.
        lit = 1.0 if side * light.shadow_x > 0 else 1 - 0.7 * light.shadow_strength
        front_x = side * (ground.road_half + ground.pavement + garden)
        z = 0.0
        while z < PERIOD - 5:
            length = min(rng.uniform(7, 16), PERIOD - z)
            stories = int(rng.integers(2, 4)) + (int(rng.integers(0, 4)) if urban > 0.4 else 0)
            wall = palette[rng.integers(len(palette))] * rng.uniform(0.82, 1.12) * rng.uniform(0.95, 1.05, 3) * lit
            height = stories * story + rng.uniform(0.5, 2.0)
            shop = bool(rng.random() < 0.7 * urban)
            front = facade_texture(rng, plate, wall, length, height, shop)
            setback = side * rng.uniform(0, 1.2 if garden else 0.2)
            depth = rng.uniform(7, 12)
            buildings.append(Building(z, length, height, front_x + setback, depth, front, wall * rng.uniform(0.6, 0.9)))
            z += length + (rng.uniform(1.5, 12) if rng.random() < 0.75 - 0.6 * urban else 0.0)
    return tuple(buildings)


def _barriers(rng: np.random.Generator, plate: np.ndarray, ground: Ground, garden: float) -> tuple[Barrier, ...]:
    """Garden fences and hedges behind the pavement; in town, now and then a railing at the curb."""
    barriers = []
    leaves = _leaf_color(rng)
    for side in (-1, 1):
        x = side * (ground.road_half + (ground.pavement if garden else 0.3))
        z = rng.uniform(0, 10)
        while z < PERIOD - 12:
            length = rng.uniform(6, 15)
            if rng.random() < (0.85 if garden else 0.4):
                texture, height, raw_id = _barrier(rng, plate, leaves, hedges=bool(garden))
                barriers.append(Barrier(z, length, height, x, texture, raw_id))
            z += length + rng.uniform(1, 6)
    return tuple(barriers)


def _barrier(
    rng: np.random.Generator, plate: np.ndarray, leaves: np.ndarray, hedges: bool
) -> tuple[Texture, float, int]:
    kind = rng.random()
    if hedges and kind < 0.35:
        return hedge_texture(rng, plate, leaves), rng.uniform(0.8, 1.9), TREE
    if hedges and kind < 0.65:
        wood = np.array([124.0, 98, 72]) * rng.uniform(0.6, 1.5)
        return board_texture(rng, plate, wood), rng.uniform(0.9, 1.8), FENCE
    return railing_texture(rng, rng.uniform(25, 170) * rng.uniform(0.9, 1.1, 3)), rng.uniform(0.9, 1.4), FENCE


def _trees(rng: np.random.Generator, plate: np.ndarray, ground: Ground, garden: float) -> tuple[Tree, ...]:
    leaves, bark = _leaf_color(rng), np.array([86.0, 74, 62]) * rng.uniform(0.6, 1.3)
    sprites = [foliage_texture(rng, plate, leaves * rng.uniform(0.8, 1.2), bark) for _ in range(4)]
    trees = []
    for side in (-1, 1):
        if rng.random() < 0.25:
            continue
        pitch = rng.uniform(7, 22)
        for z in np.arange(rng.uniform(0, pitch), PERIOD - 2, pitch):
            height = rng.uniform(3.5, 9.5)
            inset = 0.7 if garden < 2.5 or rng.random() < 0.3 else ground.pavement + rng.uniform(1.2, garden)
            x = side * (ground.road_half + inset + rng.uniform(0, 0.3))
            width = height * rng.uniform(0.6, 0.85)
            trees.append(Tree(x, z + rng.uniform(-1, 1), width, height, sprites[rng.integers(len(sprites))]))
    return tuple(trees)


def _leaf_color(rng: np.random.Generator) -> np.ndarray:
    season = rng.random()
    if season < 0.2:  # autumn
        return np.array([rng.uniform(110, 160), rng.uniform(75, 105), rng.uniform(30, 55)])
    return np.array([rng.uniform(45, 90), rng.uniform(75, 115), rng.uniform(30, 60)])


def _poles(rng: np.random.Generator, ground: Ground, urban: float) -> tuple[Pole, ...]:
    """Street lamps at a regular pitch, and signs, traffic lights and bollards in between."""
    poles = []
    lamp_color = rng.uniform(35, 165) * rng.uniform(0.93, 1.07, 3)
    lamp_height, pitch = rng.uniform(4.5, 8.0), rng.uniform(16, 32)
    for side in (-1, 1):
        x = side * (ground.road_half + 0.45)
        for z in np.arange(rng.uniform(0, pitch), PERIOD, pitch):
            poles.append(_plain_pole(x, z, lamp_height, 0.2, -side * rng.uniform(0.8, 1.8), lamp_color))
        for z in rng.uniform(0, PERIOD, int(rng.integers(5, 11))):
            kind = rng.choice(["round", "triangle", "diamond", "board", "lights"], p=[0.3, 0.2, 0.1, 0.25, 0.15])
            colors = _SIGN_COLORS[rng.permutation(len(_SIGN_COLORS))[:2]]
            height = rng.uniform(2.4, 3.4)
            poles.append(Pole(x, z, height, 0.13, 0.0, np.full(3, rng.uniform(70, 160)), str(kind), *colors))
        if urban > 0.6:
            for z in np.arange(rng.uniform(0, 5), 30, rng.uniform(1.8, 3)):
                poles.append(_plain_pole(x, z, 1.0, 0.18, 0.0, lamp_color))
    return tuple(poles)


def _plain_pole(x: float, z: float, height: float, width: float, arm: float, color: np.ndarray) -> Pole:
    return Pole(x, z, height, width, arm, color, sign="", sign_color=color, sign_rim=color)


def _bins(rng: np.random.Generator, ground: Ground) -> tuple[Bin, ...]:
    return tuple(
        Bin(
            x=float(rng.choice([-1, 1])) * (ground.road_half + rng.uniform(0.9, ground.pavement - 0.4)),
            z=z,
            color=rng.uniform(20, 150) * rng.uniform(0.7, 1.2, 3),
        )
        for z in rng.uniform(0, PERIOD, int(rng.integers(2, 7)))
    )
