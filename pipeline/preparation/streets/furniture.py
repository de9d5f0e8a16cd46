"""What stands on the pavement: trees, street lamps, signs and traffic lights."""

import numpy as np

from pipeline.preparation.streets.canvas import CIRCLE, NEAR, Board, Canvas, Thing, circle
from pipeline.preparation.streets.ground import PERIOD
from pipeline.preparation.streets.street_classes import POLE, SIGN, TREE

_SIGN_COLORS = np.array([(190, 35, 40), (30, 70, 160), (230, 230, 225), (225, 185, 40), (40, 110, 70)], float)
_SIGNS = (  # in meters around their middle: round, triangle, diamond, board, traffic light
    0.45 * CIRCLE,
    np.array([(-0.45, -0.34), (0.45, -0.34), (0, 0.45)]),
    np.array([(-0.45, 0), (0, -0.45), (0.45, 0), (0, 0.45)]),
    np.array([(-0.68, -0.4), (0.68, -0.4), (0.68, 0.4), (-0.68, 0.4)]),
    np.array([(-0.22, -0.6), (0.22, -0.6), (0.22, 0.6), (-0.22, 0.6)]),
)
_LAMPS = ((0.38, np.array([214.0, 40, 34])), (0.0, np.array([120.0, 84, 20])), (-0.38, np.array([24.0, 88, 50])))


def random_trees(rng: np.random.Generator, x: float, leaves: np.ndarray) -> list[Thing]:
    """A row of trees along `x`."""
    pitch = rng.uniform(7, 22)
    places = np.arange(rng.uniform(0, pitch), PERIOD - 2, pitch)
    return [_tree(rng, x, z, leaves * rng.uniform(0.8, 1.2)) for z in places]


def _tree(rng: np.random.Generator, x: float, z: float, leaves: np.ndarray) -> Thing:
    height = rng.uniform(3.5, 9.5)
    middles = rng.uniform((-0.2, 0.5), (0.2, 0.8), (6, 2))[:, None]  # of parts of the crown, in heights
    middles = middles[np.argsort(middles[:, 0, 1])]
    ragged = circle(36) * rng.uniform(0.1, 0.19, (6, 36, 1))
    tufts = rng.uniform(0.006, 0.022, (240, 6, 1)) * circle(6)
    tufts += middles.repeat(40, axis=0) + rng.normal(0, 0.07, (240, 1, 2))
    bark = np.array([86.0, 74, 62]) * rng.uniform(0.6, 1.3)

    def paint(canvas: Canvas, distance: float) -> None:
        if distance > NEAR:
            board = Board(canvas, x, distance, TREE, unit=height)
            board.fill([(-0.025, 0), (-0.015, 0.6), (0.015, 0.6), (0.025, 0)], bark)
            for middle, blob in zip(middles, ragged, strict=True):  # the lower ones lie in the shadow of the others
                board.fill(middle + blob, leaves * (0.3 + 0.8 * middle[0, 1]))
            for first, shade in enumerate((0.6, 0.85, 1.05, 1.25) if distance < 50 else ()):
                board.fill(tufts[first::4], leaves * shade)

    return Thing(z, paint, outline=(x, 0.0) + 0.3 * height * CIRCLE, heights=(0.55 * height, 0.8 * height))


def random_poles(rng: np.random.Generator, x: float, lamp_height: float, color: np.ndarray) -> list[Thing]:
    """Street lamps at a regular pitch along `x`, and signs and traffic lights in between."""
    arm, pitch = -np.sign(x) * rng.uniform(0.8, 1.8), rng.uniform(16, 32)
    things = [_pole(x, z, lamp_height, color, arm) for z in np.arange(rng.uniform(0, pitch), PERIOD, pitch)]
    for z in rng.uniform(0, PERIOD, int(rng.integers(5, 11))):
        sign, colors = int(rng.integers(len(_SIGNS))), _SIGN_COLORS[rng.permutation(len(_SIGN_COLORS))[:2]]
        things.append(_pole(x, z, rng.uniform(2.4, 3.4), np.full(3, rng.uniform(70, 160)), 0.0, sign, colors))
    return things


def _pole(
    x: float, z: float, height: float, color: np.ndarray, arm: float, sign: int = -1, colors: np.ndarray = _SIGN_COLORS
) -> Thing:
    """A pole with a lamp at the end of its arm, or with a sign in two colors: face and rim."""

    def paint(canvas: Canvas, distance: float) -> None:
        if distance < NEAR:
            return
        board = Board(canvas, x, distance, POLE)
        board.line([(0, 0), (0, height)], 0.2 if arm else 0.13, color)
        if arm:
            board.line([(0, height), (arm, height + 0.25)], 0.1, color)
            board.line([(arm - 0.3, height + 0.25), (arm + 0.3, height + 0.25)], 0.2, color * 0.9 + 30)
        if sign >= 0:
            face, middle = Board(canvas, x, distance, SIGN), np.array([0, height])
            rim, inside = colors if sign < 4 else np.array([(30.0, 30, 30), (38.0, 38, 38)])
            face.fill(_SIGNS[sign] + middle, rim)
            face.fill(0.76 * _SIGNS[sign] + middle, inside)
            for up, lamp in _LAMPS if sign == 4 else ((0.0, rim),):
                face.fill(0.13 * CIRCLE + middle + np.array([0, up]), lamp)

    return Thing(z, paint, outline=(x, 0.0) + 0.1 * CIRCLE, heights=(0, height))
