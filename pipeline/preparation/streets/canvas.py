"""A picture and its mask, painted together from far to near."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from pipeline.preparation.streets.street_classes import VOID

NEAR = 1.2
"""Meters: nothing closer to the camera is painted."""

SUPERSAMPLING = 3
"""Painted pixels along a side of a final pixel. Odd, so that one of them is its center, which decides on the label."""

_SUBPIXEL_BITS = 4
_FAR_OUTSIDE = 20000.0
"""Pixels: coordinates beyond are cut off, they would overflow the fixed-point numbers of the rasterizer."""


@dataclass(frozen=True)
class Thing:
    """Something in a street. `paint` gets how far the thing's `z` is ahead of the camera, in meters."""

    z: float  # meters along the street, in frame 0
    paint: Callable[["Canvas", float], None]
    speed: float = 0.0  # meters a frame
    layer: int = 2  # painted after lower ones: 0 houses, 1 fences, which have nothing of layer 2 behind them
    outline: Any = ()  # (n, 2): x, and z from the thing's own, of what casts a shadow
    heights: tuple[float, float] = (0.0, 0.0)  # meters between which it casts one


@dataclass(frozen=True)
class Camera:
    """A pinhole camera that looks along a street.

    World axes in meters: x to the right from the middle of the road, y up from the ground, z ahead of the camera.
    """

    focal: float  # pixels
    horizon: float  # row
    center: float  # column of the vanishing point
    height: float  # meters above the ground
    offset: float  # meters to the right of the middle of the road

    def project(self, points: np.ndarray) -> np.ndarray:
        """World points (..., 3), all with z > 0, to pixels (..., 2) as (column, row)."""
        pixels, scale = np.empty((*points.shape[:-1], 2)), self.focal / points[..., 2]
        pixels[..., 0] = self.center + scale * (points[..., 0] - self.offset)
        pixels[..., 1] = self.horizon + scale * (self.height - points[..., 1])
        return pixels

    def ground(self, first_row: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
        """Where the ground behind all pixels from `first_row` on lies: x (rows, width) and z (rows, 1), float32."""
        z = self.focal * self.height / np.maximum(np.arange(first_row, height) + 0.5 - self.horizon, 0.5)[:, None]
        x = (np.arange(width) + 0.5 - self.center) / self.focal * z + self.offset
        return x.astype(np.float32), z.astype(np.float32)


class Canvas:
    """RGB `image` (H, W, 3) and raw ids `mask` (H, W), both uint8 and SUPERSAMPLING times the final size.

    Whatever is painted fades into `haze_color` with its distance in meters.
    """

    def __init__(self, camera: Camera, height: int, width: int, haze_color: np.ndarray, haze_distance: float):
        self.camera = camera
        self.image = np.zeros((height, width, 3), np.uint8)
        self.mask = np.full((height, width), VOID, np.uint8)
        self.haze_color, self.haze_distance = haze_color, haze_distance

    def paint(self, points: Any, color: np.ndarray, raw_id: int | None = None) -> None:
        """Fill a polygon (n, 3) in world meters, or several (k, n, 3) that do not overlap.

        Edges that come closer than NEAR must lie along an axis: they are cut there.
        """
        polygons = np.asarray(points, float)
        polygons = polygons.reshape(-1, *polygons.shape[-2:])
        polygons = polygons[polygons[..., 2].max(axis=1) > NEAR]
        if polygons.size:
            cut = np.maximum(polygons, (-np.inf, -np.inf, NEAR))
            self.fill(self.camera.project(cut), color, float(cut[..., 2].mean()), raw_id)

    def fill(self, pixels: np.ndarray, color: np.ndarray, distance: float, raw_id: int | None = None) -> None:
        """Fill polygons (k, n, 2) in pixels; without a raw id what is there keeps its label."""
        corners = list(_fixed_point(pixels))
        cv2.fillPoly(self.image, corners, self.hazy(color, distance), shift=_SUBPIXEL_BITS)
        if raw_id is not None:
            cv2.fillPoly(self.mask, corners, (raw_id,), shift=_SUBPIXEL_BITS)

    def hazy(self, color: np.ndarray, distance: float) -> list[float]:
        return (color + (1 - math.exp(-distance / self.haze_distance)) * (self.haze_color - color)).tolist()


class Board:
    """An upright plane that faces the camera: points lie to the right of and above its foot, in units of `unit` m."""

    def __init__(self, canvas: Canvas, x: float, distance: float, raw_id: int, unit: float = 1.0):
        self.canvas, self.distance, self.raw_id = canvas, distance, raw_id
        self.foot = canvas.camera.project(np.array([x, 0.0, distance]))
        self.scale = canvas.camera.focal / distance * unit

    def fill(self, points: Any, color: np.ndarray) -> None:
        """Fill a polygon (n, 2), or several (k, n, 2)."""
        pixels = self._pixels(points)
        self.canvas.fill(pixels.reshape(-1, *pixels.shape[-2:]), color, self.distance, self.raw_id)

    def line(self, points: Any, width: float, color: np.ndarray) -> None:
        """Draw a line through points (n, 2); it never gets thinner than a final pixel."""
        corners, pixels = [_fixed_point(self._pixels(points))], max(SUPERSAMPLING, round(width * self.scale))
        hazy = self.canvas.hazy(color, self.distance)
        cv2.polylines(self.canvas.image, corners, False, hazy, pixels, shift=_SUBPIXEL_BITS)
        cv2.polylines(self.canvas.mask, corners, False, (self.raw_id,), pixels, shift=_SUBPIXEL_BITS)

    def _pixels(self, points: Any) -> np.ndarray:
        return self.foot + np.asarray(points) * (self.scale, -self.scale)


def circle(points: int) -> np.ndarray:
    """A regular polygon of radius 1, (points, 2)."""
    angles = np.arange(points) * (2 * np.pi / points)
    return np.stack([np.cos(angles), np.sin(angles)], axis=-1)


CIRCLE = circle(12)


def upright(x: Any, near: Any, far: Any, bottom: Any, top: Any) -> np.ndarray:
    """Rectangles (k, 4, 3) along the street, of numbers or arrays of one length."""
    return _corners((x, bottom, near), (x, top, near), (x, top, far), (x, bottom, far))


def flat(left: Any, right: Any, near: Any, far: Any) -> np.ndarray:
    """Rectangles (k, 4, 3) on the ground, of numbers or arrays of one length."""
    return _corners((left, 0, near), (right, 0, near), (right, 0, far), (left, 0, far))


def _corners(*corners: tuple[Any, Any, Any]) -> np.ndarray:
    sizes = {np.size(number) for corner in corners for number in corner if np.ndim(number)}
    points = np.empty((max(sizes, default=1), len(corners), 3))
    for place, corner in enumerate(corners):
        for axis, number in enumerate(corner):
            points[:, place, axis] = number
    return points


def _fixed_point(pixels: np.ndarray) -> np.ndarray:
    # A pixel's center is at 0.5 for the camera and at 0 for the rasterizer.
    inside = np.minimum(np.maximum(pixels, -_FAR_OUTSIDE), _FAR_OUTSIDE)
    return np.rint((inside - 0.5) * 2**_SUBPIXEL_BITS).astype(np.int32)
