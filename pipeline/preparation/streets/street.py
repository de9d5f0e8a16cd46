"""One street for one sequence: laid out at random, then painted frame by frame as a camera drives through it."""

import math
from collections.abc import Iterable
from typing import NamedTuple

import cv2
import numpy as np

from pipeline.preparation.streets.canvas import NEAR, SUPERSAMPLING, Camera, Canvas, Label, Part
from pipeline.preparation.streets.things import car, dustbin, fence, house, lamp, person, sign, skyline, tree

SEED = 20260  # fixes every pixel; it is part of the dataset, like a version number, hence no parameter
STREAMS = ("train", "val", "test", "broken", "unlabelled")  # independent families of streets; add new ones at the end
PERIOD = 120.0  # meters after which a street repeats; more than can be seen, so that a drive may take long
_FAR = 95.0  # meters: the street ends here, before the skyline; what is left of PERIOD lies behind the camera


class Ground:
    """The road with its markings, and the pavements beside it, drawn at random."""

    def __init__(self, rng: np.random.Generator):
        self.lane = rng.uniform(2.9, 3.6)  # meters, width of one lane
        self.parking = bool(rng.random() < 0.5)
        self.curb = self.lane + (2.2 if self.parking else rng.uniform(0.2, 0.8))  # meters from the road's middle
        self.front = self.curb + rng.uniform(2.2, 5.0)  # meters from there to houses or gardens
        self.crossings = rng.uniform(0, PERIOD, int(rng.integers(0, 3)))  # z of zebra crossings, meters
        asphalt, slabs = rng.uniform((72, 95), (138, 170))[:, None] * rng.uniform(0.95, 1.05, (2, 3))
        self.colors = np.array([asphalt, asphalt * 0.72, slabs * 1.15, slabs, [215] * 3], np.float32)  # 215: markings
        coarse = cv2.resize(rng.standard_normal((24, 24)), (256, 256), interpolation=cv2.INTER_CUBIC)
        self.grain = np.tile(0.07 * coarse + 0.06 * rng.standard_normal((256, 256)), (2, 1, 1))  # 32 values a meter
        joints = int(rng.choice([16, 32, 64]))
        self.grain[1, ::joints] = self.grain[1, :, ::joints] = -0.28  # between slabs

    def paint(self, canvas: Canvas, camera_z: float, shadows: Iterable[np.ndarray], shade: float) -> None:
        """Paint all that lies flat, and convex shadows (n, 3) that take a share `shade` of the light."""
        camera, (rows, columns) = canvas.camera, canvas.mask.shape
        first_row = int(np.ceil(camera.horizon))
        z = camera.focal * camera.height / np.maximum(np.arange(first_row, rows) + 0.5 - camera.horizon, 0.5)[:, None]
        x = (np.arange(columns) + 0.5 - camera.center) / camera.focal * z + camera.offset
        side, along = np.abs(x), (z + camera_z) % PERIOD
        zones = np.digitize(side, [self.curb - 0.25, self.curb, self.curb + 0.15])  # asphalt, gutter, curb, slabs
        canvas.mask[first_row:] = np.where(zones > 1, Label.PAVEMENT, Label.ROAD)
        tile = ((32 * axis).astype(int) % 256 for axis in (along, x))
        light = 1 + self.grain[(zones > 1).astype(int), *tile] / (1 + z / 12)  # far grain is averaged away
        marking = (side < 0.07) & (along % 6 < 3)
        for crossing in self.crossings:
            marking |= (side < self.curb - 0.4) & (x % 1 < 0.5) & ((along - crossing) % PERIOD < 3)
        sunlight = np.ones(canvas.mask.shape, np.float32)
        for shadow in shadows:
            if shadow[:, 2].max() > NEAR:
                hull = cv2.convexHull(np.round(camera.project(shadow)).astype(np.int32))
                cv2.fillConvexPoly(sunlight, hull, (1 - shade,))
        light *= cv2.blur(sunlight, (SUPERSAMPLING, SUPERSAMPLING))[first_row:]
        clear = np.exp(-z / canvas.haze_distance)
        picture = self.colors[np.where(marking, 4, zones)] * (light * clear)[..., None]
        canvas.image[first_row:] = np.clip(picture + (1 - clear)[..., None] * canvas.haze_color, 0, 255)


class Thing(NamedTuple):
    z: float  # meters along the street, in frame 0
    parts: list[Part]
    shadow: np.ndarray  # (n, 3): outline on the ground, convex
    speed: float  # meters a frame
    layer: int  # painted after lower ones: 0 houses, 1 fences, which have nothing of layer 2 behind them


class Street:
    """The street of a sequence: all that its frames have in common."""

    def __init__(self, stream: str, sequence: int, seed: int = SEED):
        self._address, self._seed = (STREAMS.index(stream), sequence), seed
        rng = self._generator()
        self._choose_weather(rng)
        self.ground = Ground(rng)
        self.side = int(rng.choice([-1, 1]))  # 1: right-hand traffic
        self.start, self.speed = rng.uniform(0, PERIOD), rng.uniform(0.7, 1.8)  # meters, meters a frame
        self.focal, self.horizon, self.center = rng.uniform((0.85, 0.42, 0.35), (1.25, 0.56, 0.65))  # in picture sizes
        self.camera_height = rng.uniform(1.25, 1.9)
        self.camera_x = self.side * self.ground.lane / 2 + rng.uniform(-0.3, 0.3)
        self.skyline = skyline(rng, _FAR)
        self.things: list[Thing] = []
        urban = rng.random()  # 0 a suburb with gardens and low houses, 1 a town with blocks up to the pavement
        self._put_traffic(rng, urban)
        self._put_roadsides(rng, urban)

    def _choose_weather(self, rng: np.random.Generator) -> None:
        gray, blue = rng.uniform(165, 235) * np.array([0.97, 1, 1.03]), rng.uniform((70, 130, 200), (130, 175, 240))
        dusk = rng.uniform((200, 150, 110), (245, 190, 170))
        # Colors of zenith and horizon, distance of the haze, share of light that a shadow takes, factor on all colors
        self.zenith, self.haze_color, self.haze_distance, self.shade, exposure = (
            (blue, 0.3 * blue + 160, rng.uniform(250, 600), rng.uniform(0.4, 0.6), 1.05),  # sun
            (0.85 * gray, gray, rng.uniform(160, 400), rng.uniform(0, 0.12), 0.95),  # clouds
            (0.97 * gray, gray, rng.uniform(45, 90), rng.uniform(0, 0.1), 1.0),  # haze
            (0.55 * blue, dusk, rng.uniform(150, 350), rng.uniform(0.1, 0.35), 0.72),  # evening
        )[rng.choice(4, p=[0.4, 0.3, 0.15, 0.15])]
        self.exposure = exposure * rng.uniform(0.85, 1.12) * rng.uniform(0.93, 1.07, 3)
        self.clouds = rng.standard_normal((8, 10)) + rng.uniform(-0.7, 0.7)
        # Meters in x and z by which the shadow of a point one meter high is shifted.
        self.shift = rng.choice([-1, 1], 2) * rng.uniform(0.25, (1.1, 0.7))
        self.noise = rng.uniform(2.5, 6.0)

    def _put(self, z: float, parts: list[Part], speed: float = 0.0, layer: int = 2) -> None:
        points = np.concatenate([part.points.reshape(-1, 3) for part in parts])
        hull = cv2.convexHull((points[:, ::2] + points[:, 1:2] * self.shift).astype(np.float32))[:, 0]
        self.things.append(Thing(z, parts, np.insert(hull, 1, 0.0, axis=1), speed, layer))

    def _put_traffic(self, rng: np.random.Generator, urban: float) -> None:
        """Parked cars where the road is wide enough, oncoming ones, often one ahead, as fast as the camera; people."""
        lane, curb, front, side = self.ground.lane, self.ground.curb, self.ground.front, self.side
        for edge in (-1, 1) if self.ground.parking else ():
            for z in np.arange(0, PERIOD, 6.0)[rng.random(20) < rng.uniform(0.05, 0.65)]:
                self._put(z, car(rng, edge * (curb - 1.1), edge * side, self.camera_x))
        oncoming = rng.uniform(0.4, 1.6)
        for z, _ in _plots(rng, 12, 60):
            self._put(z, car(rng, -side * lane / 2, -1, self.camera_x), -oncoming)
        if rng.random() < 0.7:
            self._put(self.start + rng.uniform(9, 60), car(rng, side * lane / 2, 1, self.camera_x), self.speed)
        for label, least, most, inner, outer, sideways, speed in (
            (Label.PEDESTRIAN, 14, 30 + round(20 * urban), curb + 0.7, front - 0.3, 0.8, 0.1),
            (Label.PEDESTRIAN, 0, 4, 0.0, lane, 1.0, 0.0),  # who cross the road
            (Label.BICYCLIST, 4, 10, lane - 0.35, lane, 1.0, 0.8 * self.speed),
        ):
            for z in rng.uniform(0, PERIOD, int(rng.integers(least, most))):
                edge = int(rng.choice([-1, 1]))
                x, turn = edge * rng.uniform(inner, outer), rng.uniform(0.1, sideways)
                self._put(z, person(rng, x, turn, label), edge * side * speed)

    def _put_roadsides(self, rng: np.random.Generator, urban: float) -> None:
        """On both sides a row of houses, fences, lamps, signs, dustbins, and often trees."""
        curb, garden = self.ground.curb, 0.0 if urban > 0.62 else rng.uniform(1.5, 5.0)  # meters before the houses
        green, autumn = rng.uniform((45, 75, 30), (90, 115, 60)), rng.uniform((110, 75, 30), (160, 105, 55))
        leaves = green if rng.random() < 0.8 else autumn
        lamp_height, lamp_color = rng.uniform(4.5, 8.0), rng.uniform(35, 165) * rng.uniform(0.9, 1.1, 3)
        for side in (-1, 1):
            # Shadows that fall to the right come from a sun on the left, which shines on the fronts on the right.
            lit = 1.0 if side * self.shift[0] > 0 else 1 - 0.7 * self.shade
            for z, length in _plots(rng, 8, 18):
                stories = int(rng.integers(2, 7 if urban > 0.4 else 4))
                gap = rng.uniform(1.5, 0.5 * length) if rng.random() < 0.75 - 0.6 * urban else 0.0
                x = side * (self.ground.front + garden + rng.uniform(0, 0.2 + garden / 4))
                self._put(z, house(rng, x, length - gap, lit, stories, rng.random() < 0.7 * urban), layer=0)
            for z, length in _plots(rng, 8, 20):
                if rng.random() < (0.85 if garden else 0.4):
                    x, length = side * (self.ground.front - 0.1), length - rng.uniform(1, 6)
                    self._put(z, fence(rng, x, length, leaves, bool(garden)), layer=1)
            for z, _ in _plots(rng, 16, 32):
                self._put(z, lamp(side * (curb + 0.45), lamp_height, lamp_color))
            for z in rng.uniform(0, PERIOD, int(rng.integers(5, 11))):
                self._put(z, sign(rng, side * (curb + 0.45)))
                self._put(rng.uniform(0, PERIOD), dustbin(rng, side * (self.ground.front - 0.5)))
            in_gardens = garden > 2.5 and rng.random() < 0.7
            x = self.ground.front + rng.uniform(1.2, garden) if in_gardens else curb + 0.85
            for z, _ in _plots(rng, 7, 22) if rng.random() < 0.75 else ():
                self._put(z, tree(rng, side * x, leaves))

    def frame(self, number: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw a frame: image (height, width, 3) uint8 RGB and mask (height, width) uint8 of raw ids."""
        rows, columns = height * SUPERSAMPLING, width * SUPERSAMPLING
        horizon = self.horizon + 0.008 * math.sin(1.7 * number + self.start)  # the camera nods and sways a little
        x = self.camera_x + 0.12 * math.sin(0.6 * number)
        camera = Camera(self.focal * columns, horizon * rows, self.center * columns, self.camera_height, x)
        canvas = Canvas(camera, rows, columns, self.haze_color, self.haze_distance)
        camera_z = self.start + self.speed * number
        things = [(t, (t.z + t.speed * number - camera_z - _FAR) % PERIOD + _FAR - PERIOD) for t in self.things]
        shadows = (thing.shadow + np.array([0, 0, z]) for thing, z in things)
        _paint_sky(canvas, self.zenith, self.clouds)
        for part in self.skyline:
            canvas.paint(part)
        self.ground.paint(canvas, camera_z, shadows, self.shade)
        for thing, z in sorted(things, key=lambda pair: (pair[0].layer, -pair[1])):
            for part in thing.parts:
                canvas.paint(part, z)
        picture = cv2.resize(canvas.image, (width, height), interpolation=cv2.INTER_AREA)
        centers = slice(SUPERSAMPLING // 2, None, SUPERSAMPLING)
        mask = np.ascontiguousarray(canvas.mask[centers, centers])
        return _record(picture, self.exposure, self.noise, self._generator(number)), mask

    def _generator(self, *frame: int) -> np.random.Generator:
        # By the spawn key: an address at the end of the entropy would give (1, 2) and (1, 2, 0) the same numbers.
        return np.random.default_rng(np.random.SeedSequence(self._seed, spawn_key=(*self._address, *frame)))


def _plots(rng: np.random.Generator, least: float, most: float) -> list[tuple[float, float]]:
    """Divide the street into pieces of about `least` to `most` meters: where each begins, and how long it is."""
    lengths = rng.uniform(least, most, round(2 * PERIOD / (least + most)))
    lengths *= PERIOD / lengths.sum()
    return list(zip(np.cumsum(lengths) - lengths, lengths, strict=True))


def _paint_sky(canvas: Canvas, zenith: np.ndarray, clouds: np.ndarray) -> None:
    """Paint a gradient from the top down to below the horizon, with clouds where their map (h, w) is positive."""
    rows = min(max(int(canvas.camera.horizon) + 2, 1), len(canvas.mask))
    down = np.linspace(0, 1, 64)[:, None, None]  # it is smooth: it is computed small and stretched
    clear = zenith * (1 - down) + canvas.haze_color * down
    cover = cv2.resize(clouds, (160, len(down)), interpolation=cv2.INTER_CUBIC)[..., None]
    sky = clear + np.clip(0.4 * cover, 0, 0.8) * (1 - 0.7 * down) * (1.06 * canvas.haze_color - clear)
    canvas.image[:rows] = cv2.resize(sky.astype(np.uint8), (canvas.mask.shape[1], rows))
    canvas.mask[:rows] = Label.SKY


def _record(picture: np.ndarray, exposure: np.ndarray, noise: float, rng: np.random.Generator) -> np.ndarray:
    """Apply exposure, vignette, blur and noise (gray values in mid-gray) to a picture, (H, W, 3) uint8 RGB."""
    rows, columns = (np.linspace(-1, 1, size) for size in picture.shape[:2])
    gain = (1 - 0.08 * (rows[:, None] ** 2 + columns**2))[..., None] * exposure
    recorded = cv2.GaussianBlur(picture * gain.astype(np.float32), (3, 3), 0.45)
    # Photons arrive at random: bright pixels have more noise; the rest is read out with every pixel.
    grain = rng.standard_normal((*picture.shape[:2], 4), dtype=np.float32)
    recorded += noise * np.sqrt(0.25 + recorded / 170) * (0.6 * grain[..., :3] + 0.5 * grain[..., 3:])
    return np.clip(np.round(recorded), 0, 255).astype(np.uint8)
