"""One street for one sequence: drawn at random, then painted frame by frame as a camera drives through it."""

import math

import cv2
import numpy as np

from pipeline.preparation.streets.buildings import random_buildings, random_fences
from pipeline.preparation.streets.canvas import SUPERSAMPLING, Board, Camera, Canvas, Thing
from pipeline.preparation.streets.cars import random_cars
from pipeline.preparation.streets.furniture import random_poles, random_trees
from pipeline.preparation.streets.ground import PERIOD, Ground, paint_ground
from pipeline.preparation.streets.light import Light, paint_sky, record
from pipeline.preparation.streets.people import random_people
from pipeline.preparation.streets.street_classes import BUILDING, TREE, VOID

SEED = 20260
"""Fixes every pixel. It is part of the dataset, like a version number, hence no parameter."""

STREAMS = ("train", "val", "test", "broken", "unlabelled")
"""Independent families of streets; `broken` are those of the defective samples. A new one goes to the end."""

_FAR = 95.0
"""Meters: the street ends here, behind it begins the skyline."""

_BEHIND = 25.0
"""Meters behind the camera to which things are kept; no building is longer."""


class Street:
    """The street of a sequence: all that its frames have in common."""

    def __init__(self, stream: str, sequence: int, seed: int = SEED):
        self._address, self._seed = (STREAMS.index(stream), sequence), seed
        rng = self._generator()
        self.light, self.ground = Light(rng), Ground(rng)
        urban = rng.random()  # 0 a suburb with gardens and low houses, 1 a town with blocks up to the pavement
        garden = 0.0 if urban > 0.62 else rng.uniform(1.5, 5.0)  # meters before the houses
        side = int(rng.choice([-1, 1]))  # left-hand or right-hand traffic
        self.start, self.speed = rng.uniform(0, PERIOD), rng.uniform(0.7, 1.8)  # meters, meters a frame
        self.things = self._random_things(rng, urban, garden, side)
        self.focal = rng.uniform(0.85, 1.25)  # relative to the picture's width
        self.horizon = rng.uniform(0.42, 0.56)  # relative to the picture's height
        self.center = rng.uniform(0.35, 0.65)  # relative to the picture's width
        self.camera_height = rng.uniform(1.25, 1.9)
        self.camera_x = side * self.ground.lane / 2 + rng.uniform(-0.3, 0.3)
        self.hood = rng.uniform(0.02, 0.06) if rng.random() < 0.5 else 0.0  # relative to the picture's height
        self.hood_color = rng.uniform(15, 150) * rng.uniform(0.8, 1.2, 3)
        self.skyline = rng.uniform((-1.1, 4, 0.1, 0.7), (1.1, 15, 0.35, 1.3), (24, 4))  # slope, height, width, shade
        self.wooded = rng.integers(5, 20)  # how many of the skyline are trees, the others blocks

    def _random_things(self, rng: np.random.Generator, urban: float, garden: float, side: int) -> list[Thing]:
        ground, light = self.ground, self.light
        autumn = rng.random() < 0.2
        leaves = rng.uniform((110, 75, 30), (160, 105, 55)) if autumn else rng.uniform((45, 75, 30), (90, 115, 60))
        lamp_height, lamp_color = rng.uniform(4.5, 8.0), rng.uniform(35, 165) * rng.uniform(0.93, 1.07, 3)
        things = random_cars(rng, ground, side, self.start, self.speed)
        things += random_people(rng, ground, side, urban, self.speed)
        for curb in (-1, 1):
            # Shadows that fall to the right come from a sun on the left, which shines on the fronts on the right.
            lit = 1.0 if curb * light.shift[0] > 0 else 1 - 0.7 * light.shadow
            front = ground.road_half + ground.pavement
            things += random_buildings(rng, curb * (front + garden), lit, urban, garden)
            things += random_fences(rng, curb * (front - 0.1), bool(garden), leaves)
            things += random_poles(rng, curb * (ground.road_half + 0.45), lamp_height, lamp_color)
            if rng.random() < 0.75:
                inset = 0.85 if garden < 2.5 or rng.random() < 0.3 else ground.pavement + rng.uniform(1.2, garden)
                things += random_trees(rng, curb * (ground.road_half + inset), leaves)
        return things

    def frame(self, number: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw a frame: image (height, width, 3) uint8 RGB and mask (height, width) uint8 of raw ids."""
        canvas = self._canvas(number, height * SUPERSAMPLING, width * SUPERSAMPLING)
        camera_z = self.start + self.speed * number
        things = [(t, (t.z + t.speed * number - camera_z + _BEHIND) % PERIOD - _BEHIND) for t in self.things]
        paint_sky(canvas, self.light)
        paint_ground(canvas, self.ground, self.light, camera_z, things)
        self._paint_skyline(canvas)
        for thing, distance in sorted(things, key=lambda pair: (pair[0].layer, -pair[1])):
            thing.paint(canvas, distance)
        self._paint_hood(canvas)
        picture = cv2.resize(canvas.image, (width, height), interpolation=cv2.INTER_AREA)
        middle = SUPERSAMPLING // 2
        mask = np.ascontiguousarray(canvas.mask[middle::SUPERSAMPLING, middle::SUPERSAMPLING])
        return record(picture, self.light, self._generator(number)), mask

    def _canvas(self, number: int, height: int, width: int) -> Canvas:
        """A camera that sways and nods a little on its way, and what it paints on."""
        camera = Camera(
            focal=self.focal * width,
            horizon=(self.horizon + 0.008 * math.sin(1.7 * number + self.start)) * height,
            center=(self.center + 0.01 * math.sin(0.5 * number + self.start)) * width,
            height=self.camera_height,
            offset=self.camera_x + 0.12 * math.sin(0.6 * number),
        )
        return Canvas(camera, height, width, self.light.horizon, self.light.haze_distance)

    def _paint_skyline(self, canvas: Canvas) -> None:
        """Paint the far end of the street, blocks and treetops; it does not come closer."""
        for place, (slope, height, width, shade) in enumerate(self.skyline):
            raw_id, color = (TREE, (58.0, 76, 46)) if place < self.wooded else (BUILDING, (128.0, 116, 108))
            top = height * (0.6 if raw_id == TREE else 1.0)
            outline = np.array([(-0.5, 0), (-0.5, 0.7 * top), (-0.3, top), (0.3, top), (0.5, 0.7 * top), (0.5, 0)])
            board = Board(canvas, canvas.camera.offset + _FAR * slope, _FAR, raw_id)
            board.fill(outline * (_FAR * width, 1), np.array(color) * shade)

    def _paint_hood(self, canvas: Canvas) -> None:
        """Paint the own hood at the lower rim, which belongs to no class."""
        height, width = canvas.mask.shape
        axes = width * 5 // 8, round(self.hood * height)
        if self.hood:
            cv2.ellipse(canvas.image, (width // 2, height), axes, 0, 180, 360, self.hood_color.tolist(), cv2.FILLED)
            cv2.ellipse(canvas.mask, (width // 2, height), axes, 0, 180, 360, (VOID,), cv2.FILLED)

    def _generator(self, *frame: int) -> np.random.Generator:
        # By the spawn key: an address at the end of the entropy would give (1, 2) and (1, 2, 0) the same numbers.
        return np.random.default_rng(np.random.SeedSequence(self._seed, spawn_key=(*self._address, *frame)))
