"""A picture and its mask, painted together from far to near."""

import math

import cv2
import numpy as np

from pipeline.preparation.streets.camera import NEAR, Camera, clip_near
from pipeline.preparation.streets.street_classes import VOID
from pipeline.preparation.streets.textures import Texture

SUPERSAMPLING = 3
"""Painted pixels along a side of a final pixel. Odd, so that one of them is its center, which decides on the label."""

_SUBPIXEL_BITS = 4
_SUBPIXELS = 1 << _SUBPIXEL_BITS
_HALF = _SUBPIXELS / 2
_FAR_OUTSIDE = 20000.0
"""Pixels: coordinates beyond are cut off, they would overflow the fixed-point numbers of the rasterizer."""


class Canvas:
    """RGB `image` (H, W, 3) and raw ids `mask` (H, W), both uint8 and SUPERSAMPLING times the final size.

    Whatever is painted fades into `haze_color` with its distance in meters.
    """

    def __init__(self, camera: Camera, height: int, width: int, haze_color: np.ndarray, haze_distance: float):
        self.camera = camera
        self.image = np.zeros((height, width, 3), np.uint8)
        self.mask = np.full((height, width), VOID, np.uint8)
        self.haze_color = haze_color
        self.haze_distance = haze_distance

    def haze(self, distance: float) -> float:
        """Share of the haze's color at a distance in meters, 0..1."""
        return 1.0 - math.exp(-distance / self.haze_distance)

    def polygon(self, points: np.ndarray, color: np.ndarray, raw_id: int) -> None:
        """Fill a polygon given in world meters, (n, 3)."""
        points = clip_near(points)
        if len(points) >= 3:
            self.fill(self.camera.project(points), color, float(points[:, 2].mean()), raw_id)

    def fill(self, pixels: np.ndarray, color: np.ndarray, distance: float, raw_id: int) -> None:
        """Fill a polygon given in pixels, (n, 2)."""
        corners = _fixed_point(pixels)
        cv2.fillPoly(self.image, [corners], self._hazy(color, distance), shift=_SUBPIXEL_BITS)
        cv2.fillPoly(self.mask, [corners], (raw_id,), shift=_SUBPIXEL_BITS)

    def stroke(
        self, pixels: np.ndarray, thickness: float, closed: bool, color: np.ndarray, distance: float, raw_id: int
    ) -> None:
        """Draw a line through pixels (n, 2); it never gets thinner than a final pixel."""
        corners, width = _fixed_point(pixels), max(SUPERSAMPLING, round(thickness))
        cv2.polylines(self.image, [corners], closed, self._hazy(color, distance), width, shift=_SUBPIXEL_BITS)
        cv2.polylines(self.mask, [corners], closed, (raw_id,), width, shift=_SUBPIXEL_BITS)

    def wall(self, texture: Texture, x: float, near: float, far: float, top: float, raw_id: int) -> None:
        """Paint a texture on an upright wall along the street, from the ground to `top` meters."""
        start = max(near, NEAR)
        if far <= start:
            return
        corners = np.array([[x, top, start], [x, top, far], [x, 0, far], [x, 0, start]])
        cut = (start - near) / (far - near)
        source = np.array([[cut, 0], [1, 0], [1, 1], [cut, 1]])
        self._paste(texture, source, corners, 2 * start * far / (start + far), raw_id)

    def billboard(self, texture: Texture, x: float, distance: float, width: float, height: float, raw_id: int) -> None:
        """Paint a texture that stands on the ground and faces the camera; sizes in meters."""
        if distance < NEAR:
            return
        left, right = x - width / 2, x + width / 2
        corners = np.array(
            [[left, height, distance], [right, height, distance], [right, 0, distance], [left, 0, distance]]
        )
        self._paste(texture, np.array([[0, 0], [1, 0], [1, 1], [0, 1]]), corners, distance, raw_id)

    def _paste(self, texture: Texture, source: np.ndarray, corners: np.ndarray, distance: float, raw_id: int) -> None:
        """Bend the part of a texture between `source` (4, 2), in 0..1, onto world `corners` (4, 3)."""
        target = self.camera.project(corners)
        height, width = self.mask.shape
        left, top = np.maximum(np.floor(target.min(axis=0)), 0).astype(int)
        right, bottom = np.minimum(np.ceil(target.max(axis=0)), (width, height)).astype(int)
        if left >= right or top >= bottom:
            return
        level = texture.level(_area(target) / _area(source))
        bend = cv2.getPerspectiveTransform(
            (source * (level.shape[1], level.shape[0])).astype(np.float32), (target - (left, top)).astype(np.float32)
        )
        patch = cv2.warpPerspective(level, bend, (int(right - left), int(bottom - top)), flags=cv2.INTER_LINEAR)
        coverage = np.ascontiguousarray(patch[..., 3])
        share = self.haze(distance)
        haze = tuple(float(c) for c in share * self.haze_color)
        area = np.s_[top:bottom, left:right]
        painted = cv2.merge([cv2.addWeighted(patch[..., c], 1 - share, coverage, haze[c] / 255, 0) for c in range(3)])
        behind = cv2.multiply(self.image[area], cv2.merge([255 - coverage] * 3), scale=1 / 255)
        self.image[area] = cv2.add(behind, painted)
        self.mask[area][coverage > 127] = raw_id

    def _hazy(self, color: np.ndarray, distance: float) -> list[float]:
        return (color + self.haze(distance) * (self.haze_color - color)).tolist()


def _fixed_point(pixels: np.ndarray) -> np.ndarray:
    # A pixel's center is at 0.5 for the camera and at 0 for the rasterizer.
    return np.rint(np.minimum(np.maximum(pixels, -_FAR_OUTSIDE), _FAR_OUTSIDE) * _SUBPIXELS - _HALF).astype(np.int32)


def _area(quad: np.ndarray) -> float:
    (a, b), (c, d) = quad[2] - quad[0], quad[3] - quad[1]  # the diagonals
    return 0.5 * abs(float(a * d - b * c))
