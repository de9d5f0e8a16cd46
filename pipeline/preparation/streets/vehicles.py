"""Cars: a side profile, as wide as a car, with windows, wheels and lamps."""

from dataclasses import dataclass

import numpy as np

from pipeline.preparation.streets.camera import NEAR
from pipeline.preparation.streets.canvas import Canvas
from pipeline.preparation.streets.street_classes import CAR
from pipeline.preparation.streets.world import Car


@dataclass(frozen=True)
class Shape:
    """Outline in fractions of length (0 rear, 1 front) and height; `glass` are the windscreens among its edges."""

    length: float  # meters
    width: float
    height: float
    outline: np.ndarray  # (n, 2), from the rear over the roof to the front
    glass: tuple[int, ...]  # edges of the outline, edge i from point i to i + 1
    windows: np.ndarray  # (m, 2)


def _points(*pairs: tuple[float, float]) -> np.ndarray:
    return np.array(pairs)


SHAPES = {
    "hatchback": Shape(
        4.0,
        1.75,
        1.48,
        _points(
            (0, 0.2), (0, 0.6), (0.03, 0.66), (0.12, 0.97), (0.2, 1), (0.55, 1), (0.73, 0.67), (0.97, 0.55), (1, 0.2)
        ),
        (2, 5),
        _points((0.1, 0.68), (0.18, 0.94), (0.54, 0.94), (0.68, 0.68)),
    ),
    "sedan": Shape(
        4.6,
        1.8,
        1.42,
        _points((0, 0.2), (0, 0.62), (0.16, 0.67), (0.29, 1), (0.56, 1), (0.73, 0.67), (0.97, 0.56), (1, 0.2)),
        (2, 4),
        _points((0.2, 0.69), (0.31, 0.94), (0.55, 0.94), (0.69, 0.69)),
    ),
    "estate": Shape(
        4.5,
        1.85,
        1.65,
        _points((0, 0.22), (0, 0.6), (0.05, 0.97), (0.1, 1), (0.58, 1), (0.75, 0.66), (0.97, 0.57), (1, 0.22)),
        (1, 4),
        _points((0.06, 0.66), (0.1, 0.93), (0.56, 0.93), (0.7, 0.66)),
    ),
    "van": Shape(
        5.2,
        1.95,
        2.3,
        _points((0, 0.15), (0, 0.96), (0.02, 1), (0.72, 1), (0.86, 0.58), (0.98, 0.46), (1, 0.15)),
        (3,),
        _points((0.62, 0.6), (0.64, 0.88), (0.72, 0.88), (0.82, 0.6)),
    ),
}
_SHOULDER = 0.66
_GLASS = np.array([52.0, 60, 68])
_TIRE = np.array([24.0, 24, 25])
_CIRCLE = np.linspace(0, 2 * np.pi, 12, endpoint=False)
_ROUND = np.stack([np.cos(_CIRCLE), np.sin(_CIRCLE)], axis=1)
_DETAILED = 35.0  # meters: hubs and number plates of cars farther away are smaller than a pixel


def draw_car(canvas: Canvas, car: Car, distance: float) -> None:
    """Paint a car whose middle is `distance` meters ahead."""
    shape = SHAPES[car.shape]
    if distance - shape.length / 2 < NEAR:
        return
    far_side = np.sign(car.x - canvas.camera.offset)
    near_x, far_x = car.x - far_side * shape.width / 2, car.x + far_side * shape.width / 2
    outline = shape.outline
    # Cabins get narrower towards the roof.
    narrow = far_side * 0.14 * shape.width * np.clip(outline[:, 1] - _SHOULDER, 0, 1) / (1 - _SHOULDER)
    near_side = _place(canvas, car, shape, near_x + narrow, outline, distance)
    far_pixels = _place(canvas, car, shape, far_x - narrow, outline, distance)
    edges = range(len(outline) - 1)
    for edge in edges if car.heading < 0 else reversed(edges):  # far to near: the end towards the camera comes last
        quad = np.concatenate([near_side[edge : edge + 2], far_pixels[edge : edge + 2][::-1]])
        canvas.fill(quad, _edge_color(shape, car, edge), distance, CAR)
    _draw_side(canvas, car, shape, near_side, near_x, far_side, distance)
    _draw_end(canvas, car, shape, distance)


def _place(
    canvas: Canvas, car: Car, shape: Shape, x: float | np.ndarray, points: np.ndarray, distance: float
) -> np.ndarray:
    """Pixels of points (n, 2) given in fractions of length and height, on the plane(s) at `x`."""
    world = np.empty((len(points), 3))
    world[:, 0] = x
    world[:, 1] = points[:, 1] * shape.height
    world[:, 2] = distance + car.heading * (points[:, 0] - 0.5) * shape.length
    return canvas.camera.project(world)


def _edge_color(shape: Shape, car: Car, edge: int) -> np.ndarray:
    if edge in shape.glass:
        return _GLASS if car.heading > 0 else _GLASS * 1.35
    (x0, y0), (x1, y1) = shape.outline[edge : edge + 2]
    upright = abs(y1 - y0) / (abs(y1 - y0) + abs(x1 - x0))
    return car.color * (1.18 - 0.3 * upright)  # what faces the sky is brighter


def _draw_side(
    canvas: Canvas, car: Car, shape: Shape, pixels: np.ndarray, x: float, far_side: float, distance: float
) -> None:
    canvas.fill(pixels, car.color * 0.74, distance, CAR)
    canvas.fill(
        _place(canvas, car, shape, x + far_side * 0.08 * shape.width, shape.windows, distance), _GLASS, distance, CAR
    )
    radius = 0.32 / np.array([shape.length, shape.height])
    for along in (0.19, 0.8):
        axle = (along, 0.32 / shape.height)
        canvas.fill(_place(canvas, car, shape, x, _ROUND * radius + axle, distance), _TIRE, distance, CAR)
        if distance < _DETAILED:
            hub = _place(canvas, car, shape, x, _ROUND * 0.55 * radius + axle, distance)
            canvas.fill(hub, np.full(3, 118.0), distance, CAR)


def _draw_end(canvas: Canvas, car: Car, shape: Shape, distance: float) -> None:
    """Lamps, number plate, bumper and tires of the end towards the camera."""
    near = distance - shape.length / 2 - 0.01
    half, lamp_y = shape.width / 2, 0.5 * min(shape.height, 1.7)
    lamp = np.array([176.0, 30, 28]) if car.heading > 0 else np.array([238.0, 236, 220])
    parts = [
        (-0.94, 0.94, 0.22, 0.4, car.color * 0.45),
        (-0.92, -0.6, 0.02, 0.24, _TIRE),
        (0.6, 0.92, 0.02, 0.24, _TIRE),
        (-0.96, -0.62, lamp_y, lamp_y + 0.16, lamp),
        (0.62, 0.96, lamp_y, lamp_y + 0.16, lamp),
    ]
    if distance < _DETAILED:
        parts.append((-0.26, 0.26, 0.44, 0.56, np.array([222.0, 214, 170])))
    if shape.height > 2:  # rear doors or windscreen of a van
        parts.append((-0.84, 0.84, 0.58 * shape.height, 0.86 * shape.height, _GLASS))
    corners = np.array(
        [
            (car.x + half * x, y, near)
            for x0, x1, y0, y1, _ in parts
            for x, y in ((x0, y0), (x0, y1), (x1, y1), (x1, y0))
        ]
    )
    for quad, (*_, color) in zip(canvas.camera.project(corners).reshape(-1, 4, 2), parts, strict=True):
        canvas.fill(quad, color, distance, CAR)
