"""House fronts: windows, doors, shops and roofs painted flat, before perspective bends them."""

import cv2
import numpy as np

from pipeline.preparation.streets.textures import Texture, crop_noise

PIXELS_PER_METER = 18

WALLS = np.array(
    [
        [142, 84, 66],  # brick
        [116, 66, 54],
        [176, 150, 118],  # sandstone
        [206, 196, 178],  # plaster
        [150, 150, 148],  # concrete
        [104, 106, 110],
        [196, 172, 110],  # ochre
        [126, 138, 118],  # faded green
        [128, 142, 160],  # faded blue
        [186, 136, 120],
    ],
    np.float32,
)
ROOFS = np.array([[92, 58, 50], [74, 76, 84], [110, 84, 66], [58, 56, 58]], np.float32)


def facade_texture(
    rng: np.random.Generator, plate: np.ndarray, wall: np.ndarray, length: float, height: float, shop: bool
) -> Texture:
    """One front of `length` by `height` meters.

    Args:
        rng: decides on windows, doors and wear.
        plate: seamless noise for stains and grain.
        wall: RGB of the wall.
        length: meters along the street.
        height: meters, roof included.
        shop: whether the ground floor is a shop window under a colored sign.
    """
    columns, rows = round(length * PIXELS_PER_METER), round(height * PIXELS_PER_METER)
    light = 1 + 0.08 * crop_noise(rng, plate, rows, columns)
    if rng.random() < 0.6:  # courses of bricks or slabs
        light[:: int(rng.integers(4, 9))] *= rng.uniform(0.8, 0.93)
    picture = np.clip(light[..., None] * wall.astype(np.float32), 0, 255).astype(np.uint8)
    roof = _roof(rng, picture) if rng.random() < 0.6 else _cornice(picture, wall)
    ground_floor = round(rng.uniform(3.0, 4.2) * PIXELS_PER_METER)
    _windows(rng, picture, wall, top=roof, bottom=rows - ground_floor)
    if shop:
        _shop(rng, picture, top=rows - ground_floor)
    else:
        _windows(rng, picture, wall, top=rows - ground_floor, bottom=rows - PIXELS_PER_METER // 2)
        _door(rng, picture)
    for end in (np.s_[:, :2], np.s_[:, -2:]):  # a groove between neighbors
        picture[end] = picture[end] * 0.7
    return Texture(picture, np.ones((rows, columns), np.float32))


def _roof(rng: np.random.Generator, picture: np.ndarray) -> int:
    """Paint the roof seen from the street; returns the row at which the wall begins."""
    rows = round(min(rng.uniform(1.2, 2.8) * PIXELS_PER_METER, 0.35 * len(picture)))
    color = ROOFS[rng.integers(len(ROOFS))] * rng.uniform(0.8, 1.2)
    picture[:rows] = color
    picture[:rows:5] = color * 0.8
    picture[rows - 3 : rows] = 210
    return rows


def _cornice(picture: np.ndarray, wall: np.ndarray) -> int:
    picture[: PIXELS_PER_METER // 2] = np.minimum(wall * 1.15, 255)
    picture[PIXELS_PER_METER // 2] = wall * 0.5
    return PIXELS_PER_METER // 2


def _windows(rng: np.random.Generator, picture: np.ndarray, wall: np.ndarray, top: int, bottom: int) -> None:
    """A grid of windows between two rows, the same size throughout, each with its own reflection."""
    floor = round(rng.uniform(2.7, 3.3) * PIXELS_PER_METER)
    bay = round(rng.uniform(1.7, 3.4) * PIXELS_PER_METER)
    width, height = round(bay * rng.uniform(0.35, 0.7)), round(floor * rng.uniform(0.4, 0.62))
    frame = tuple(float(c) for c in (wall * rng.uniform(0.5, 0.8) if rng.random() < 0.4 else np.full(3, 220.0)))
    glass = rng.uniform(30, 130) * np.array([0.9, 1.0, 1.12])
    count = max((picture.shape[1] - bay // 3) // bay, 1)
    margin = (picture.shape[1] - count * bay) // 2
    for y in range(bottom - floor, top - floor // 3, -floor):
        for x in range(margin + (bay - width) // 2, margin + count * bay, bay):
            y0, y1 = max(y + floor // 4, top + 2), y + floor // 4 + height
            if y1 - y0 < height // 2:
                continue
            color = glass * rng.uniform(0.6, 1.5) if rng.random() < 0.85 else np.array([205.0, 190, 150])
            _rectangle(picture, x, y0, x + width, y1, frame)
            _rectangle(picture, x + 2, y0 + 2, x + width - 2, y1 - 2, tuple(color))
            _rectangle(picture, x + 2, y0 + 2, x + width - 2, y0 + height // 3, tuple(color * 0.75))
            _rectangle(picture, x + width // 2, y0, x + width // 2, y1, frame)
            _rectangle(picture, x - 2, y1, x + width + 2, y1 + 2, tuple(wall * 1.2))


def _shop(rng: np.random.Generator, picture: np.ndarray, top: int) -> None:
    rows, columns = picture.shape[:2]
    sign = rng.uniform(20, 230, 3)
    _rectangle(picture, 0, top, columns, rows, tuple(sign * 0.35 + 30))
    _rectangle(picture, 0, top, columns, top + PIXELS_PER_METER, tuple(sign))
    for x in range(PIXELS_PER_METER, columns - PIXELS_PER_METER, PIXELS_PER_METER // 2):
        if rng.random() < 0.7:  # lettering
            _rectangle(picture, x, top + 5, x + 5, top + PIXELS_PER_METER - 5, tuple(255 - sign))
    pane = round(rng.uniform(1.8, 3.5) * PIXELS_PER_METER)
    for x in range(6, columns - pane // 2, pane):
        glass = rng.uniform(35, 150, 1) * rng.uniform(0.8, 1.2, 3)
        _rectangle(picture, x, top + PIXELS_PER_METER + 6, min(x + pane - 7, columns - 6), rows - 9, tuple(glass))
        for _ in range(3):  # goods behind the pane
            left = x + int(rng.integers(0, max(pane - 16, 1)))
            _rectangle(picture, left, rows - 28, min(left + 9, columns - 6), rows - 12, tuple(rng.uniform(20, 220, 3)))


def _door(rng: np.random.Generator, picture: np.ndarray) -> None:
    rows, columns = picture.shape[:2]
    x = int(rng.integers(4, max(columns - 2 * PIXELS_PER_METER, 5)))
    color = rng.uniform(25, 150, 3)
    _rectangle(picture, x - 3, rows - 42, x + 21, rows, (200.0, 195.0, 185.0))
    _rectangle(picture, x, rows - 39, x + 18, rows, tuple(color))


def _rectangle(picture: np.ndarray, left: int, top: int, right: int, bottom: int, color: tuple[float, ...]) -> None:
    cv2.rectangle(picture, (left, top), (right, bottom), color, cv2.FILLED)
