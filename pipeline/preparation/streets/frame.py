"""One frame: the whole street painted from far to near, then recorded."""

import math
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import cv2
import numpy as np

from pipeline.preparation.streets.camera import Camera
from pipeline.preparation.streets.canvas import SUPERSAMPLING, Canvas
from pipeline.preparation.streets.ground import draw_ground
from pipeline.preparation.streets.people import draw_person
from pipeline.preparation.streets.scenery import draw_bin, draw_building, draw_pole, draw_sky, draw_skyline
from pipeline.preparation.streets.sensor import record
from pipeline.preparation.streets.street_classes import TREE, VOID
from pipeline.preparation.streets.vehicles import draw_car
from pipeline.preparation.streets.world import World

Thing = TypeVar("Thing")


def draw_frame(
    world: World, frame: int, height: int, width: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw what the camera sees in one frame.

    Args:
        world: the street.
        frame: 0 is the first; any number may be asked for.
        height: pixels.
        width: pixels.
        rng: for the noise of this frame.

    Returns:
        Image (height, width, 3) uint8 RGB and mask (height, width) uint8 of raw ids.
    """
    camera = _camera(world, frame, height * SUPERSAMPLING, width * SUPERSAMPLING)
    canvas = Canvas(
        camera, height * SUPERSAMPLING, width * SUPERSAMPLING, world.light.sky_horizon, world.light.haze_distance
    )
    draw_sky(canvas, world, frame)
    draw_ground(canvas, world, frame)
    draw_skyline(canvas, world)
    _draw_walls(canvas, world, frame)
    _draw_things(canvas, world, frame)
    _draw_hood(canvas, world)
    picture = cv2.resize(canvas.image, (width, height), interpolation=cv2.INTER_AREA)
    middle = SUPERSAMPLING // 2
    mask = np.ascontiguousarray(canvas.mask[middle::SUPERSAMPLING, middle::SUPERSAMPLING])
    return record(picture, world.light, rng), mask


def _camera(world: World, frame: int, height: int, width: int) -> Camera:
    """The camera of one frame: it sways and nods a little on its way."""
    nod = 0.008 * math.sin(1.7 * frame + world.start)
    return Camera(
        focal=world.focal * width,
        horizon=(world.horizon + nod) * height,
        center=(world.center + 0.01 * math.sin(0.5 * frame + world.start)) * width,
        height=world.camera_height,
        offset=world.camera_x + 0.12 * math.sin(0.6 * frame),
        bend=world.bend,
    )


def _draw_walls(canvas: Canvas, world: World, frame: int) -> None:
    """Houses, then fences and hedges: nothing that stands on road or pavement is ever behind them."""
    for building, near in _far_to_near([(b, world.ahead(b.z, frame)) for b in world.buildings]):
        draw_building(canvas, building, near)
    for barrier, near in _far_to_near([(b, world.ahead(b.z, frame)) for b in world.barriers]):
        canvas.wall(barrier.texture, barrier.x, near, near + barrier.length, barrier.height, barrier.raw_id)


def _draw_things(canvas: Canvas, world: World, frame: int) -> None:
    things: list[tuple[Callable[[float], None], float]] = []
    for tree in world.trees:
        draw = partial(_draw_tree, canvas, tree.texture, tree.x, tree.width, tree.height)
        things.append((draw, world.ahead(tree.z, frame)))
    for pole in world.poles:
        things.append((partial(draw_pole, canvas, pole), world.ahead(pole.z, frame)))
    for item in world.bins:
        things.append((partial(draw_bin, canvas, item), world.ahead(item.z, frame)))
    for car in world.cars:
        things.append((partial(draw_car, canvas, car), world.ahead(car.z, frame, car.speed)))
    for person in world.people:
        draw = partial(draw_person, canvas, person, frame=frame)
        things.append((draw, world.ahead(person.z, frame, person.speed)))
    for draw, distance in _far_to_near(things):
        draw(distance)


def _draw_tree(canvas: Canvas, texture, x: float, width: float, height: float, distance: float) -> None:
    canvas.billboard(texture, x, distance, width, height, TREE)


def _far_to_near(things: list[tuple[Thing, float]]) -> list[tuple[Thing, float]]:
    return sorted(things, key=lambda thing: -thing[1])


def _draw_hood(canvas: Canvas, world: World) -> None:
    """The own hood at the lower rim, which belongs to no class."""
    height, width = canvas.mask.shape
    if world.hood == 0:
        return
    columns = np.linspace(0, width, 17)
    rise = world.hood * height * (1 - (2 * columns / width - 1) ** 4)
    rim = np.column_stack([columns, height - rise])
    outline = np.concatenate([rim, [[width, height + 1], [0, height + 1]]])
    canvas.fill(outline, world.hood_color, 0.0, VOID)
