"""Pedestrians and cyclists, put together from limbs."""

import numpy as np

from pipeline.preparation.streets.camera import NEAR
from pipeline.preparation.streets.canvas import Canvas
from pipeline.preparation.streets.street_classes import BICYCLIST, PEDESTRIAN
from pipeline.preparation.streets.world import Person

_CIRCLE = np.linspace(0, 2 * np.pi, 12, endpoint=False)
_ROUND = np.stack([np.cos(_CIRCLE), np.sin(_CIRCLE)], axis=1)
_SHOE = np.array([38.0, 34, 32])
_FRAMES = np.array([[170.0, 40, 40], [40, 70, 150], [60, 60, 62], [180, 180, 176]])


def draw_person(canvas: Canvas, person: Person, distance: float, frame: int) -> None:
    """Paint somebody `distance` meters ahead, on foot or on a bicycle."""
    if distance - 1.0 < NEAR:
        return
    if person.bicycle:
        _draw_cyclist(canvas, person, distance, frame)
    else:
        _draw_pedestrian(canvas, person, distance, frame)


def _draw_pedestrian(canvas: Canvas, person: Person, distance: float, frame: int) -> None:
    stride = np.sin(person.phase + 0.9 * frame)
    swing = (0.03 + 0.11 * person.sideways) * stride
    half = 0.13 - 0.04 * person.sideways  # shoulders look narrower from the side
    stance = 0.05 * (1 - person.sideways)
    limb = _Figure(canvas, person, distance, PEDESTRIAN)
    sleeve = person.top * 0.82
    limb.line((-half, 0.79), (-half - 0.03 - swing, 0.48), 0.055, sleeve)
    limb.line((stance, 0.5), (stance + swing, 0.04), 0.085, person.legs * 0.85)
    limb.line((-stance, 0.5), (-stance - swing, 0.04), 0.085, person.legs)
    limb.line((stance + swing - 0.03, 0.02), (stance + swing + 0.04, 0.02), 0.04, _SHOE)
    limb.line((-stance - swing - 0.03, 0.02), (-stance - swing + 0.04, 0.02), 0.04, _SHOE)
    limb.shape(np.array([(-half, 0.82), (half, 0.82), (half * 0.8, 0.46), (-half * 0.8, 0.46)]), person.top)
    limb.line((half, 0.79), (half + 0.03 + swing, 0.48), 0.055, sleeve)
    limb.head(0.0, 0.9)


def _draw_cyclist(canvas: Canvas, person: Person, distance: float, frame: int) -> None:
    """From behind or in front the wheels are slits; the more sideways, the rounder."""
    limb = _Figure(canvas, person, distance, BICYCLIST)
    side = person.sideways
    paint = _FRAMES[int(person.phase * 10) % len(_FRAMES)]
    radius = 0.19  # of a wheel, in heights
    pixels = canvas.camera.pixels_per_meter(distance) * 0.045
    for end in (1, -1):
        wheel = _ROUND * (max(radius * side, 0.012), radius) + (end * 0.3 * side, radius)
        limb.ring(wheel, pixels, _SHOE)
    crank, saddle = (0.0, 0.17), (-0.13 * side, 0.52)
    handle = (0.24 * side, 0.58)
    for start, stop in ((crank, saddle), (crank, handle), (saddle, handle), (saddle, (-0.3 * side, radius))):
        limb.line(start, stop, 0.022, paint)
    limb.line((handle[0] - 0.13 * (1 - side), 0.6), (handle[0] + 0.13 * (1 - side), 0.6), 0.025, _SHOE)
    turn = person.phase + 1.3 * frame
    for foot, shade in ((turn, 0.8), (turn + np.pi, 1.0)):
        pedal = (0.07 * side * np.cos(foot) + 0.05 * (1 - side) * (1 if shade == 1 else -1), 0.16 + 0.08 * np.sin(foot))
        knee = (0.12 * side + pedal[0] * 0.6, 0.4 + 0.05 * np.sin(foot))
        limb.line(saddle, knee, 0.085, person.legs * shade)
        limb.line(knee, pedal, 0.07, person.legs * shade)
    half = 0.13 - 0.03 * side
    shoulder = 0.12 * side
    torso = [(shoulder - half, 0.86), (shoulder + half, 0.86), (saddle[0] + 0.09, 0.5), (saddle[0] - 0.09, 0.5)]
    limb.shape(np.array(torso), person.top)
    limb.line((shoulder - half * (1 - side), 0.82), (handle[0] - 0.12 * (1 - side), 0.61), 0.05, person.top * 0.82)
    limb.line((shoulder + half * (1 - side), 0.82), (handle[0] + 0.12 * (1 - side), 0.61), 0.05, person.top * 0.82)
    limb.head(0.15 * side, 0.95)


class _Figure:
    """Paints limbs given in heights of a person, relative to where the feet stand."""

    def __init__(self, canvas: Canvas, person: Person, distance: float, raw_id: int):
        self.canvas, self.person, self.distance, self.raw_id = canvas, person, distance, raw_id
        self.foot = canvas.camera.project(np.array([[person.x, 0.0, distance]]))[0]
        self.scale = canvas.camera.pixels_per_meter(distance) * person.height

    def shape(self, points: np.ndarray, color: np.ndarray) -> None:
        self.canvas.fill(self._pixels(points), color, self.distance, self.raw_id)

    def line(self, start: tuple[float, float], stop: tuple[float, float], width: float, color: np.ndarray) -> None:
        pixels = self._pixels(np.array([start, stop]))
        self.canvas.stroke(pixels, width * self.scale, False, color, self.distance, self.raw_id)

    def ring(self, points: np.ndarray, thickness: float, color: np.ndarray) -> None:
        self.canvas.stroke(self._pixels(points), thickness, True, color, self.distance, self.raw_id)

    def head(self, x: float, y: float) -> None:
        self.shape(_ROUND * (0.055, 0.075) + (x, y + 0.015), self.person.hair)
        self.shape(_ROUND * (0.045, 0.055) + (x, y - 0.01), self.person.skin)

    def _pixels(self, points: np.ndarray) -> np.ndarray:
        return self.foot + points * (self.scale, -self.scale)
