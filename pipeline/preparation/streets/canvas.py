"""Paint an image and its mask together, from far to near, with flat shapes."""

from enum import IntEnum
from typing import Any, NamedTuple

import cv2
import numpy as np

# Raw ids in the mask files, those of CamVid; VOID is for unlabelled things: dustbins.
Label = IntEnum("Label", "SKY BUILDING POLE ROAD PAVEMENT TREE SIGN FENCE CAR PEDESTRIAN BICYCLIST VOID", start=0)
NEAR = 2.2  # meters: nothing closer to the camera is painted
SUPERSAMPLING = 3  # painted pixels along a side of a final pixel; odd, because the center one gives the label
SQUARE = np.array([(-1.0, -1), (1, -1), (1, 1), (-1, 1)])
_SUBPIXEL_BITS = 4


class Part(NamedTuple):
    """Polygons of one color, in meters: x to the right of the road's middle, y up, z ahead of the thing's place."""

    points: np.ndarray  # (k, n, 3)
    color: Any  # RGB
    label: Label
    width: float = 0.0  # meters; above 0 they are lines, which are never thinner than a final pixel


class Camera(NamedTuple):
    """A pinhole camera that looks along a street."""

    focal: float  # pixels
    horizon: float  # row
    center: float  # column of the vanishing point
    height: float  # meters above the ground
    offset: float  # meters to the right of the middle of the road

    def project(self, points: np.ndarray) -> np.ndarray:
        """Project points (..., 3), z ahead of the camera, to pixels (..., 2): column, row. Closer ones move to NEAR."""
        scale = self.focal / np.maximum(points[..., 2], NEAR)
        columns = self.center + scale * (points[..., 0] - self.offset)
        return np.stack([columns, self.horizon + scale * (self.height - points[..., 1])], axis=-1)


class Canvas:
    """RGB `image` (H, W, 3) and raw ids `mask` (H, W), both uint8 and SUPERSAMPLING times the final size."""

    def __init__(self, camera: Camera, height: int, width: int):
        self.camera = camera
        self.image = np.zeros((height, width, 3), np.uint8)
        self.mask = np.full((height, width), Label.VOID, np.uint8)

    def paint(self, part: Part, z: float = 0.0) -> None:
        """Paint a part of a thing that is `z` meters ahead; edges that come closer than NEAR must lie along an axis."""
        points = part.points + np.array([0, 0, z])
        points = points[points[..., 2].max(axis=1) > NEAR]
        if not points.size:
            return
        pixels = np.clip(self.camera.project(points), -2e4, 2e4)  # larger numbers overflow in the rasterizer
        # A pixel's center is at 0.5 for the camera and at 0 for the rasterizer.
        corners = list(np.rint((pixels - 0.5) * 2**_SUBPIXEL_BITS).astype(np.int32))
        distance = max(float(points[..., 2].mean()), NEAR)
        thickness = max(SUPERSAMPLING, round(part.width * self.camera.focal / distance))
        for picture, value in ((self.image, np.clip(part.color, 0, 255).tolist()), (self.mask, [part.label])):
            if part.width:
                cv2.polylines(picture, corners, False, value, thickness, shift=_SUBPIXEL_BITS)
            else:
                cv2.fillPoly(picture, corners, value, shift=_SUBPIXEL_BITS)


def rectangles(x: Any, y: Any, z: Any) -> np.ndarray:
    """Return rectangles (k, 4, 3) on the ground or along the street.

    Each axis is one value or a pair (from, to); a value is a number or an array (k,).
    """
    (x0, x1), (y0, y1), (z0, z1) = (axis if isinstance(axis, tuple) else (axis, axis) for axis in (x, y, z))
    numbers = np.broadcast_arrays(x0, y0, z0, x1, y1, z0, x1, y1, z1, x0, y0, z1)
    return np.stack(numbers, axis=-1).reshape(-1, 4, 3)


def upright(points: Any, x: float, y: float = 0.0, z: float = 0.0, unit: float = 1.0) -> np.ndarray:
    """Return polygons (k, n, 3) that face the camera, from points (k, n, 2) or (n, 2) in `unit` meters around x, y."""
    plane = np.asarray(points, float) * unit + np.array([x, y])
    plane = plane.reshape(-1, *plane.shape[-2:])
    return np.concatenate([plane, np.full_like(plane[..., :1], z)], axis=-1)


def circle(points: int = 12) -> np.ndarray:
    """Return a regular polygon of radius 1, (points, 2)."""
    angles = np.arange(points) * (2 * np.pi / points)
    return np.stack([np.cos(angles), np.sin(angles)], axis=-1)
