"""Road, markings and pavements, with the shadows that fall on them."""

import cv2
import numpy as np

from pipeline.preparation.streets.camera import NEAR
from pipeline.preparation.streets.canvas import SUPERSAMPLING, Canvas
from pipeline.preparation.streets.street_classes import PAVEMENT, ROAD
from pipeline.preparation.streets.vehicles import SHAPES
from pipeline.preparation.streets.world import PERIOD, World

FAR = 95.0
"""Meters: the street ends here, behind it begins the skyline."""

_DASH_PITCH = 6.0  # meters; divides PERIOD, so that the line has no seam where the street repeats
_TILE_PIXELS_PER_METER = 32.0
_SHADOWS_END = 60.0  # meters: behind it the ground is seen so flat that shadows merge
_LEAF_ANGLES = np.linspace(0, 2 * np.pi, 14, endpoint=False)


def draw_ground(canvas: Canvas, world: World, frame: int) -> None:
    """Paint everything that lies flat, from the horizon down."""
    ground = world.ground
    first_row = int(np.ceil(canvas.camera.horizon))
    canvas.image[first_row:] = ground.slabs
    canvas.mask[first_row:] = PAVEMENT
    stations = np.geomspace(NEAR, 40 * FAR, 24)  # a curve is drawn in short pieces
    _strip(canvas, -ground.road_half - 0.15, ground.road_half + 0.15, stations, ground.slabs * 1.15, PAVEMENT)
    _strip(canvas, -ground.road_half, ground.road_half, stations, ground.asphalt * 0.72, ROAD)  # gutter
    _strip(canvas, -ground.road_half + 0.25, ground.road_half - 0.25, stations, ground.asphalt, ROAD)
    _draw_patches(canvas, world, frame)
    _draw_markings(canvas, world, frame, stations)
    _roughen(canvas, world, frame, first_row)


def _strip(canvas: Canvas, left: float, right: float, stations: np.ndarray, color: np.ndarray, raw_id: int) -> None:
    """Fill the ground between two x, along the curve of the street; haze comes later, row by row."""
    edges = [np.column_stack([np.full(len(stations), x), np.zeros(len(stations)), stations]) for x in (left, right)]
    pixels = canvas.camera.project(np.concatenate([edges[0], edges[1][::-1]]))
    canvas.fill(pixels, color, 0.0, raw_id)


def _draw_patches(canvas: Canvas, world: World, frame: int) -> None:
    for x, z, width, length, brightness in world.ground.patches:
        near = world.ahead(z, frame)
        if near + length > NEAR:
            stations = np.array([max(near, NEAR), near + length])
            _strip(canvas, x - width / 2, x + width / 2, stations, world.ground.asphalt * brightness, ROAD)


def _draw_markings(canvas: Canvas, world: World, frame: int, stations: np.ndarray) -> None:
    ground = world.ground
    for z in np.arange(0, PERIOD, _DASH_PITCH):
        near = world.ahead(z, frame)
        if near + ground.dash > NEAR:
            _strip(canvas, -0.07, 0.07, np.array([max(near, NEAR), near + ground.dash]), ground.marking, ROAD)
    if ground.edge_lines:
        for x in (-ground.lane, ground.lane):
            _strip(canvas, x - 0.06, x + 0.06, stations, ground.marking * 0.95, ROAD)
    for z in ground.crossings:
        near = world.ahead(z, frame)
        if near > NEAR:
            for x in np.arange(-ground.road_half + 0.4, ground.road_half - 0.4, 1.0):
                _strip(canvas, x, x + 0.5, np.array([near, near + 3.0]), ground.marking, ROAD)


def _roughen(canvas: Canvas, world: World, frame: int, first_row: int) -> None:
    """Give the ground its grain, its shadows and its haze, in this order and for all rows at once."""
    height, width = canvas.mask.shape
    if first_row >= height:
        return
    x, z = canvas.camera.ground(first_row, height, width)
    traveled = (world.start + world.speed * frame) % PERIOD
    tile = world.ground.tile
    # Far out there is no grain left to see; the limits keep the coordinates within the 16 bits that remap has.
    across = np.clip(x, -2 * FAR, 2 * FAR) * _TILE_PIXELS_PER_METER
    along = np.repeat((np.minimum(z, 2 * FAR) + traveled) * _TILE_PIXELS_PER_METER, width, axis=1)
    grain = cv2.remap(tile, across, along, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    asphalt, slabs = cv2.split(grain)
    cv2.copyTo(asphalt, (canvas.mask[first_row:] == ROAD).view(np.uint8), slabs)
    factor = slabs * (1 / (128 + z * (128 / 12))) + (1 - 1 / (1 + z / 12))  # 1 on average; far grain is averaged away
    share = 1 - np.exp(-np.minimum(z, FAR) / np.float32(canvas.haze_distance))
    factor *= _sunlight(canvas, world, frame)[first_row:] * ((1 - share) / 255)
    picture = canvas.image[first_row:] * factor[..., None]
    picture += share[..., None] * canvas.haze_color.astype(np.float32)
    canvas.image[first_row:] = np.clip(picture, 0, 255, out=picture)


def _sunlight(canvas: Canvas, world: World, frame: int) -> np.ndarray:
    """Light that shadows leave to each pixel of the ground, (H, W) uint8, 255 = all of it."""
    light = world.light
    shift = np.array([light.shadow_x, light.shadow_z])
    left = np.full(canvas.mask.shape, 255, np.uint8)
    cast = 255 * (1 - light.shadow_strength)
    for building in world.buildings:
        near = world.ahead(building.z, frame)
        front = np.array([[building.x, near], [building.x, near + building.length]])
        _shade(canvas, left, np.concatenate([front, (front + shift * building.height)[::-1]]), cast)
    for tree in world.trees:
        middle = np.array([tree.x, world.ahead(tree.z, frame)]) + shift * 0.65 * tree.height
        ragged = 0.5 + 0.16 * np.cos(3 * _LEAF_ANGLES + tree.z) + 0.1 * np.cos(5 * _LEAF_ANGLES)
        crown = np.stack([np.cos(_LEAF_ANGLES), np.sin(_LEAF_ANGLES)], axis=1) * (ragged * tree.width)[:, None]
        _shade(canvas, left, middle + crown, cast)
    for upright, speed, width in [(p, 0.0, p.width) for p in world.poles] + [(p, p.speed, 0.4) for p in world.people]:
        foot = np.array([upright.x, world.ahead(upright.z, frame, speed)])
        tip = foot + shift * upright.height
        side = np.array([width / 2, 0.0]) if abs(light.shadow_z) > abs(light.shadow_x) else np.array([0.0, width / 2])
        _shade(canvas, left, np.stack([foot - side, foot + side, tip + side, tip - side]), cast)
    for car in world.cars:
        shape = SHAPES[car.shape]
        middle = np.array([car.x, world.ahead(car.z, frame, car.speed)])
        corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * (shape.width / 2, shape.length / 2)
        _shade(canvas, left, middle + corners + 0.8 * shift * shape.height, cast)
        _shade(canvas, left, middle + 1.06 * corners, 85.0)  # under the car it is dark in any weather
    return cv2.blur(left, (SUPERSAMPLING, SUPERSAMPLING))


def _shade(canvas: Canvas, left: np.ndarray, outline: np.ndarray, light: float) -> None:
    """Leave `light` of 255 to the ground inside an outline (n, 2) of x and z."""
    nearest, farthest = outline[:, 1].min(), outline[:, 1].max()
    if farthest <= NEAR or nearest > _SHADOWS_END:
        return
    flat = np.column_stack([outline[:, 0], np.zeros(len(outline)), np.maximum(outline[:, 1], NEAR)])
    cv2.fillPoly(left, [np.round(canvas.camera.project(flat)).astype(np.int32)], (light,))
