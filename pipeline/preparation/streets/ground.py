"""Road, markings and pavements, with the shadows that fall on them."""

from collections.abc import Iterable

import cv2
import numpy as np

from pipeline.preparation.streets.canvas import NEAR, SUPERSAMPLING, Canvas, Thing, flat
from pipeline.preparation.streets.light import Light
from pipeline.preparation.streets.street_classes import PAVEMENT, ROAD

PERIOD = 120.0
"""Meters after which a street repeats; more than can be seen, so that a drive may take as long as it likes."""

_DASHES = np.arange(0, PERIOD, 6.0)  # meters; the pitch divides PERIOD, so that the line has no seam
_TILE_PIXELS_PER_METER = 32.0
_SHADOWS_END = 60.0  # meters: behind it the ground is seen so flat that shadows merge


class Ground:
    """The road with its markings, and the pavements beside it, drawn at random."""

    def __init__(self, rng: np.random.Generator):
        self.lane = rng.uniform(2.9, 3.6)  # meters, width of one lane
        parking = 2.2 if rng.random() < 0.5 else rng.uniform(0.2, 0.8)
        self.road_half = self.lane + parking  # meters from the middle to a curb
        self.pavement = rng.uniform(2.2, 5.0)  # meters from a curb to the houses or gardens
        self.asphalt = rng.uniform(72, 138) * rng.uniform(0.96, 1.04, 3)
        self.slabs = rng.uniform(95, 170) * np.array([1.03, 1.0, 0.95]) * rng.uniform(0.96, 1.04, 3)
        self.crossings = rng.uniform(0, PERIOD, int(rng.integers(0, 3)))  # z of zebra crossings, meters
        coarse = cv2.resize(rng.standard_normal((24, 24)), (256, 256), interpolation=cv2.INTER_CUBIC)
        tile = 128 * (1 + 0.07 * coarse + 0.06 * rng.standard_normal((256, 256)))[..., None] * np.ones(2)
        joints = int(rng.choice([16, 32, 64]))
        tile[::joints, :, 1] *= 0.72
        tile[:, ::joints, 1] *= 0.72
        self.tile = np.clip(tile, 0, 255).astype(np.uint8)  # brightness of asphalt and of slabs, 128 = unchanged


def paint_ground(
    canvas: Canvas, ground: Ground, light: Light, camera_z: float, things: Iterable[tuple[Thing, float]]
) -> None:
    """Paint everything that lies flat, from the horizon down, and the shadows of things, given with their distances."""
    first_row = int(np.ceil(canvas.camera.horizon))
    canvas.image[first_row:], canvas.mask[first_row:] = ground.slabs, PAVEMENT
    canvas.haze_distance = np.inf  # the haze comes last, row by row
    edge, marking = ground.road_half, np.full(3, 215.0)
    canvas.paint(flat(-edge - 0.15, edge + 0.15, NEAR, 4000), ground.slabs * 1.15, PAVEMENT)  # curbs
    canvas.paint(flat(-edge, edge, NEAR, 4000), ground.asphalt * 0.72, ROAD)  # gutters
    canvas.paint(flat(0.25 - edge, edge - 0.25, NEAR, 4000), ground.asphalt, ROAD)
    dashes, *crossings = ((z - camera_z + 10) % PERIOD - 10 for z in (_DASHES, *ground.crossings))
    canvas.paint(flat(-0.07, 0.07, dashes, dashes + 3.0), marking)
    stripes = np.arange(-edge + 0.4, edge - 0.6)
    for near in crossings:
        canvas.paint(flat(stripes, stripes + 0.5, near, near + 3.0), marking)
    canvas.haze_distance = light.haze_distance
    _roughen(canvas, ground, camera_z, first_row, _sunlight(canvas, light, things))


def _roughen(canvas: Canvas, ground: Ground, camera_z: float, first_row: int, sunlight: np.ndarray) -> None:
    """Give the ground its grain, its shadows and its haze, in this order and for all rows at once."""
    x, z = canvas.camera.ground(first_row, *canvas.mask.shape)
    # Far out there is no grain left to see; the limits keep the coordinates within the 16 bits that remap has.
    across = np.clip(x, -200, 200) * _TILE_PIXELS_PER_METER
    along = np.repeat((np.minimum(z, 200) + camera_z % PERIOD) * _TILE_PIXELS_PER_METER, x.shape[1], axis=1)
    tile = cv2.remap(ground.tile, across, along.astype(np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    grain = np.where(canvas.mask[first_row:] == ROAD, tile[..., 0], tile[..., 1]) / np.float32(128) - 1
    haze = 1 - np.exp(-np.minimum(z, 100) / np.float32(canvas.haze_distance))
    light = (1 + grain / (1 + z / 12)) * sunlight[first_row:] * ((1 - haze) / 255)  # far grain is averaged away
    picture = canvas.image[first_row:] * light[..., None] + haze[..., None] * canvas.haze_color.astype(np.float32)
    canvas.image[first_row:] = np.clip(picture, 0, 255)


def _sunlight(canvas: Canvas, light: Light, things: Iterable[tuple[Thing, float]]) -> np.ndarray:
    """Light that shadows leave to each pixel of the ground, (H, W) uint8, 255 = all of it."""
    left = np.full(canvas.mask.shape, 255, np.uint8)
    for thing, distance in things:
        if len(thing.outline) and distance < _SHADOWS_END:
            outline = np.concatenate([thing.outline + light.shift * height for height in thing.heights])
            points = np.insert(np.maximum(outline + np.array([0, distance]), (-np.inf, NEAR)), 1, 0.0, axis=1)
            if points[:, 2].max() > NEAR:
                hull = cv2.convexHull(np.round(canvas.camera.project(points)).astype(np.int32))
                cv2.fillConvexPoly(left, hull, (255 * (1 - light.shadow),))
    return cv2.blur(left, (SUPERSAMPLING, SUPERSAMPLING))
