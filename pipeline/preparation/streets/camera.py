"""Perspective: from meters in the street to pixels of the picture, and back on the ground."""

from dataclasses import dataclass

import numpy as np

NEAR = 1.2
"""Meters: nothing closer to the camera is drawn."""


@dataclass(frozen=True)
class Camera:
    """A pinhole camera that looks along a street.

    World axes in meters: x to the right from the middle of the road, y up from the ground, z ahead of the camera.
    A street that curves is drawn by shifting everything at distance z sideways by `bend * z**2`.
    """

    focal: float  # pixels
    horizon: float  # row
    center: float  # column of the vanishing point
    height: float  # meters above the ground
    offset: float  # meters to the right of the middle of the road
    bend: float  # 1 / meters

    def project(self, points: np.ndarray) -> np.ndarray:
        """World points (n, 3), all with z > 0, to pixels (n, 2) as (column, row)."""
        x, y, z = points.T
        scale = self.focal / z
        pixels = np.empty((len(points), 2))
        pixels[:, 0] = self.center + scale * (x - self.offset + self.bend * z * z)
        pixels[:, 1] = self.horizon + scale * (self.height - y)
        return pixels

    def pixels_per_meter(self, distance: float) -> float:
        return self.focal / distance

    def ground(self, first_row: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
        """Where the ground points behind the pixels lie, for rows from `first_row`, which is below the horizon.

        Returns:
            x, (rows, width), and z, (rows, 1), float32 meters.
        """
        below = np.maximum(np.arange(first_row, height, dtype=np.float32)[:, None] + 0.5 - self.horizon, 0.5)
        z = self.focal * self.height / below
        slope = (np.arange(width, dtype=np.float32)[None] + 0.5 - self.center) / self.focal
        return slope * z + (self.offset - self.bend * z * z), z


def clip_near(polygon: np.ndarray) -> np.ndarray:
    """The part of a polygon (n, 3) at least NEAR in front of the camera; (0, 3) if there is none."""
    inside = polygon[:, 2] >= NEAR
    if inside.all():
        return polygon
    kept: list[np.ndarray] = []
    for i, point in enumerate(polygon):
        previous = polygon[i - 1]
        if inside[i] != inside[i - 1]:
            kept.append(previous + (point - previous) * (NEAR - previous[2]) / (point[2] - previous[2]))
        if inside[i]:
            kept.append(point)
    return np.array(kept).reshape(-1, 3)
