"""Draw the street of one sequence: it is laid out at random, then painted frame by frame as a camera drives along."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np

from pipeline.preparation.streets.canvas import SQUARE, SUPERSAMPLING, Camera, Canvas, Label, Part, upright
from pipeline.preparation.streets.things import car, fence, house, lamp, person, sign, skyline, tree

SEED = 20260  # fixes every pixel; not a parameter, because it is part of the dataset like a version number
STREAMS = ("train", "val", "test", "broken", "unlabelled")  # independent families of streets; add new ones at the end
PERIOD = 60.0  # meters after which a street repeats; longer than the visible part, so that a drive may be long
_FAR = 42.0  # meters: the street ends here, before the skyline; the rest of PERIOD lies behind the camera


class Ground:
    """The road with its markings, and the pavements beside it, drawn at random."""

    def __init__(self, rng: np.random.Generator):
        self.lane = rng.uniform(2.8, 3.3)  # meters, width of one lane
        self.curb = self.lane + rng.choice([0.2, 2.1])  # meters from the road's middle; wide roads have parked cars
        self.front = self.curb + rng.uniform(2.2, 3.4)  # meters from the road's middle to gardens or houses
        asphalt, slabs = rng.uniform((66, 180), (82, 200))[:, None] * ((0.97, 1, 1.05), (1.05, 1, 0.92))
        self.colors = np.array([asphalt, slabs * 1.15, slabs, [235] * 3], np.float32)  # asphalt, curb, slabs, markings
        self.grain = np.tile(0.05 * rng.standard_normal((256, 256)), (2, 1, 1))  # 32 values for each meter
        self.grain[1, ::32] = self.grain[1, :, ::32] = -0.25  # between slabs

    def paint(self, canvas: Canvas, camera_z: float) -> None:
        """Paint the road, its markings and the pavements."""
        camera, (rows, columns) = canvas.camera, canvas.mask.shape
        first_row = int(np.ceil(camera.horizon))
        z = camera.focal * camera.height / np.maximum(np.arange(first_row, rows) + 0.5 - camera.horizon, 0.5)[:, None]
        x = (np.arange(columns) + 0.5 - camera.center) / camera.focal * z + camera.offset
        side, along = np.abs(x), (z + camera_z) % PERIOD
        zones = np.digitize(side, [self.curb, self.curb + 0.15])  # asphalt, curb, slabs
        canvas.mask[first_row:] = np.where(zones, Label.PAVEMENT, Label.ROAD)
        tile = ((32 * axis).astype(int) % 256 for axis in (along, x))
        light = 1 + self.grain[(zones > 0).astype(int), *tile] / (1 + z / 12)  # distant grain averages out
        marking = (side < 0.09) & (along % 6 < 3)
        canvas.image[first_row:] = np.clip(self.colors[np.where(marking, 3, zones)] * light[..., None], 0, 255)


class Thing(NamedTuple):
    z: float  # meters along the street, in frame 0
    parts: list[Part]
    speed: float = 0.0  # meters for each frame
    layer: int = 3  # lower layers are painted first: 0 houses, 1 trees in gardens, 2 fences, 3 things before them


class Street:
    """The street that all frames of a sequence share."""

    def __init__(self, stream: str, sequence: int, seed: int = SEED):
        self._address, self._seed = (STREAMS.index(stream), sequence), seed
        rng = self._generator()
        down, blue = np.linspace(0, 1, 8)[:, None, None], rng.uniform((84, 140, 205), (120, 175, 240))
        clear = blue * (1 - down) + 225 * down
        self.sky = clear + np.clip(rng.normal(0.1, 0.5, (8, 10, 1)), 0, 0.8) * (240 - clear)  # small, as it is smooth
        self.exposure = rng.uniform(0.88, 1.1)  # factor on all colors
        self.ground = Ground(rng)
        self.side = int(rng.choice([-1, 1]))  # 1: right-hand traffic
        self.start, self.speed = rng.uniform(0, PERIOD), rng.uniform(1.2, 2.2)  # meters, meters/frame
        self.focal, self.horizon, self.center = rng.uniform((1.0, 0.42, 0.35), (1.25, 0.54, 0.65))  # shares of its size
        self.camera_x = self.side * self.ground.lane / 2 + rng.uniform(-0.3, 0.3)
        self.skyline = skyline(rng, _FAR)
        self.things = [*self._traffic(rng), *self._roadsides(rng)]

    def _traffic(self, rng: np.random.Generator) -> Iterator[Thing]:
        """Yield parked cars on a wide road, oncoming cars, often a car ahead as fast as the camera, and people."""
        lane, curb, front, side = self.ground.lane, self.ground.curb, self.ground.front, self.side
        for edge in (-1, 1) if curb - lane > 1 else ():
            for z in np.flatnonzero(rng.random(10) < 0.4) * 6.0:
                yield Thing(z, car(rng, edge * (curb - 1.05), edge * side, self.camera_x))
        for z, _ in _plots(rng, 10, 30):
            yield Thing(z, car(rng, -side * lane / 2, -1, self.camera_x), -1.0)
        if rng.random() < 0.7:
            yield Thing(self.start + rng.uniform(8, 18), car(rng, side * lane / 2, 1, self.camera_x), self.speed)
        for label, least, most, inner, outer, speed in (
            (Label.PEDESTRIAN, 20, 26, curb + 0.9, front - 0.5, 0.1),
            (Label.PEDESTRIAN, 1, 4, 0.0, lane, 0.0),  # people who cross the road
            (Label.BICYCLIST, 5, 8, lane - 0.5, lane, 0.8 * self.speed),
        ):
            for z in rng.uniform(0, PERIOD, int(rng.integers(least, most))):
                edge = int(rng.choice([-1, 1]))
                yield Thing(z, person(rng, edge * rng.uniform(inner, outer), label), edge * side * speed)

    def _roadsides(self, rng: np.random.Generator) -> Iterator[Thing]:
        """Yield houses, trees, fences before gardens, lamps, signs and dustbins on both sides."""
        curb, front = self.ground.curb, self.ground.front
        for side in (-1, 1):
            garden = rng.uniform(2.5, 5)  # meters in front of the houses
            for z, length in _plots(rng, 8, 14):
                yield Thing(z, house(rng, side * (front + garden), length - rng.choice([0, 2.5])), layer=0)
                yield Thing(z + 2, tree(rng, side * (front + 1.4)), layer=1)
            for z, length in _plots(rng, 8, 16):
                yield Thing(z, fence(side * front, length - rng.uniform(1, 3)), layer=2)
            for z, length in _plots(rng, 12, 16):
                yield Thing(z, lamp(side * (curb + 0.5)))
                yield Thing(z + length * rng.uniform(0.3, 0.7), sign(rng, side * (curb + 0.6)))
            dustbin = Part(upright(SQUARE * (0.35, 0.5), side * (front - 0.5), 0.5), (40, 60, 50), Label.VOID)
            yield from (Thing(z, [dustbin]) for z in rng.uniform(0, PERIOD, 2))

    def frame(self, number: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw a frame: image (height, width, 3) uint8 RGB and mask (height, width) uint8 of raw ids."""
        rows, columns = height * SUPERSAMPLING, width * SUPERSAMPLING
        horizon = self.horizon + 0.008 * math.sin(1.7 * number + self.start)  # the camera tilts a little
        camera = Camera(self.focal * columns, horizon * rows, self.center * columns, 1.6, self.camera_x)
        canvas, camera_z = Canvas(camera, rows, columns), self.start + self.speed * number
        sky = cv2.resize(self.sky, (columns, int(camera.horizon) + 2), interpolation=cv2.INTER_CUBIC)
        canvas.image[: len(sky)], canvas.mask[: len(sky)] = np.clip(sky, 0, 255), Label.SKY
        for part in self.skyline:
            canvas.paint(part)
        self.ground.paint(canvas, camera_z)
        places = ((t.z + t.speed * number - camera_z - _FAR) % PERIOD + _FAR - PERIOD for t in self.things)
        for z, thing in sorted(zip(places, self.things, strict=True), key=lambda pair: (pair[1].layer, -pair[0])):
            for part in thing.parts:
                canvas.paint(part, z)
        picture = cv2.resize(canvas.image, (width, height), interpolation=cv2.INTER_AREA) * self.exposure
        picture += self._generator(number).normal(0, 2.5, picture.shape)  # sensor noise
        centers = slice(SUPERSAMPLING // 2, None, SUPERSAMPLING)
        return np.clip(np.round(picture), 0, 255).astype(np.uint8), np.ascontiguousarray(canvas.mask[centers, centers])

    def _generator(self, *frame: int) -> np.random.Generator:
        # The address is the spawn key: appended to the entropy, (1, 2) and (1, 2, 0) would give the same numbers.
        return np.random.default_rng(np.random.SeedSequence(self._seed, spawn_key=(*self._address, *frame)))


def _plots(rng: np.random.Generator, least: float, most: float) -> list[tuple[float, float]]:
    """Divide the street into pieces of about `least` to `most` meters; return the start and length of each."""
    lengths = rng.uniform(least, most, round(2 * PERIOD / (least + most)))
    lengths *= PERIOD / lengths.sum()
    return list(zip(np.cumsum(lengths) - lengths, lengths, strict=True))
