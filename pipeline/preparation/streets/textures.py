"""Pictures that are bent onto walls, fences and trees, and the noise that roughens every surface."""

import cv2
import numpy as np

LEVELS = 5
"""Resolutions of a texture, each half the one before."""


class Texture:
    """A picture with coverage, kept at several resolutions so that distant copies do not flicker.

    Colors are stored multiplied by the coverage: averaging and blending then need no special case at the rim.
    """

    def __init__(self, rgb: np.ndarray, coverage: np.ndarray):
        """Take colors (h, w, 3) in 0..255 and coverage (h, w) in 0..1."""
        finest: np.ndarray = np.empty((*coverage.shape, 4), np.uint8)
        finest[..., :3] = np.clip(rgb, 0, 255) * coverage[..., None]
        finest[..., 3] = coverage * 255
        levels: list[np.ndarray] = [finest]
        while len(levels) < LEVELS and min(levels[-1].shape[:2]) > 8:
            height, width = levels[-1].shape[:2]
            levels.append(cv2.resize(levels[-1], (width // 2, height // 2), interpolation=cv2.INTER_AREA))
        self.levels = tuple(levels)

    def level(self, drawn_area: float) -> np.ndarray:
        """The RGBA resolution, (h, w, 4) uint8, that fits a copy of `drawn_area` pixels."""
        height, width = self.levels[0].shape[:2]
        halvings = round(0.5 * np.log2(height * width / max(drawn_area, 1.0)))
        return self.levels[int(np.clip(halvings, 0, len(self.levels) - 1))]


def fractal_noise(rng: np.random.Generator, size: int, grids: tuple[int, ...], persistence: float) -> np.ndarray:
    """Noise that repeats without a seam: (size, size) float32 with mean 0 and standard deviation 1.

    Args:
        rng: where the noise comes from.
        size: side in pixels, a multiple of every grid.
        grids: cells along a side for each octave, coarse to fine.
        persistence: amplitude of an octave relative to the one before.
    """
    total = np.zeros((size, size), np.float32)
    for octave, cells in enumerate(grids):
        step = size // cells
        grid = np.pad(rng.standard_normal((cells, cells), dtype=np.float32), 2, mode="wrap")
        smooth = cv2.resize(grid, None, fx=step, fy=step, interpolation=cv2.INTER_CUBIC)
        total += persistence**octave * smooth[2 * step : 2 * step + size, 2 * step : 2 * step + size]
    return (total - total.mean()) / total.std()


def crop_noise(rng: np.random.Generator, plate: np.ndarray, height: int, width: int) -> np.ndarray:
    """A random piece (height, width) of a seamless plate, wrapped around where it is larger than the plate."""
    top, left = rng.integers(0, plate.shape[0], 2)
    rows = (top + np.arange(height)) % plate.shape[0]
    columns = (left + np.arange(width)) % plate.shape[1]
    return plate[np.ix_(rows, columns)]


def foliage_texture(rng: np.random.Generator, plate: np.ndarray, leaves: np.ndarray, bark: np.ndarray) -> Texture:
    """A tree seen from the side, trunk included: ragged crown with holes, lit from above.

    Args:
        rng: decides on shape and gaps.
        plate: seamless noise.
        leaves: RGB of the crown.
        bark: RGB of trunk and branches.
    """
    height, width = 192, 144
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    crown = np.full((height, width), -9.0, np.float32)
    for _ in range(rng.integers(4, 8)):
        x, y = rng.uniform(0.3, 0.7) * width, rng.uniform(0.2, 0.55) * height
        radius = rng.uniform(0.17, 0.3) * width
        crown = np.maximum(crown, 1 - ((columns - x) ** 2 + ((rows - y) * 0.9) ** 2) / radius**2)
    noise = crop_noise(rng, plate, height, width)
    fine = rng.standard_normal((height // 2, width // 2), dtype=np.float32)
    fine = cv2.resize(fine, (width, height), interpolation=cv2.INTER_LINEAR)
    coverage = np.clip((crown + 0.35 * noise + 0.3 * fine + rng.uniform(-0.1, 0.3)) * 4, 0, 1)
    light = 0.95 + 0.3 * np.clip(crown, -1, 1) - 0.5 * rows / height + 0.16 * noise + 0.2 * fine
    rgb = leaves * np.clip(light, 0.25, 1.6)[..., None]
    trunk = np.abs(columns - width / 2 - 2 * np.sin(rows / 20)) < rng.uniform(2.0, 4.0) + 3 * (rows / height) ** 4
    trunk &= (rows > 0.4 * height) & (coverage < 0.5)
    rgb[trunk] = bark * (1 + 0.15 * noise[trunk] + 0.2 * (columns[trunk] < width / 2))[:, None]
    return Texture(rgb, np.maximum(coverage, trunk))


def hedge_texture(rng: np.random.Generator, plate: np.ndarray, leaves: np.ndarray) -> Texture:
    """A clipped hedge with a ragged upper rim, to be stretched along the pavement."""
    height, width = 48, 320
    noise = crop_noise(rng, plate, height, width)
    fine = rng.standard_normal((height, width), dtype=np.float32)
    rows = np.arange(height, dtype=np.float32)[:, None]
    coverage = np.clip(rows - 3 - 2 * noise, 0, 1)
    return Texture(leaves * (1.05 - 0.5 * rows / height + 0.15 * noise + 0.2 * fine)[..., None], coverage)


def railing_texture(rng: np.random.Generator, color: np.ndarray) -> Texture:
    """A metal fence: rails and bars over a mesh that half hides what is behind."""
    height, width = 44, 400
    covered = np.full((height, width), 0.56, np.float32)
    shade = np.full((height, width), 0.75, np.float32)
    pitch = int(rng.integers(5, 10))
    for lines in (np.s_[:, ::pitch], np.s_[:, 1::pitch], np.s_[2:5], np.s_[36:39]):
        covered[lines] = 1.0
        shade[lines] = 1.1
    covered[:, :6] = covered[:, -6:] = 1.0
    return Texture(color * shade[..., None], covered)


def board_texture(rng: np.random.Generator, plate: np.ndarray, color: np.ndarray) -> Texture:
    """A closed fence of upright boards, each with its own shade."""
    height, width, board = 44, 400, int(rng.integers(8, 16))
    shade = np.repeat(rng.uniform(0.8, 1.1, width // board + 1), board)[:width]
    shade[::board] = 0.45
    light = shade[None] + 0.1 * crop_noise(rng, plate, height, width)
    light[:2] *= 1.2
    return Texture(color * light[..., None], np.ones((height, width), np.float32))
