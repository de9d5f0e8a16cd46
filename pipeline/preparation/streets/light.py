"""Weather and time of day, the sky they make, and what a cheap camera in a car records of it."""

import cv2
import numpy as np

from pipeline.preparation.streets.canvas import Canvas
from pipeline.preparation.streets.street_classes import SKY

_SKY_ROWS = 64  # it is smooth: it is computed small and stretched


class Light:
    """Weather, sun and the camera's own quirks, drawn at random."""

    def __init__(self, rng: np.random.Generator):
        gray = rng.uniform(165, 235) * np.array([0.97, 1.0, 1.03])
        blue = rng.uniform((70, 130, 200), (130, 175, 240))
        dusk = rng.uniform((200, 150, 110), (245, 190, 170))
        weathers: list[tuple[np.ndarray, np.ndarray, float, float, float]] = [
            (blue, 0.3 * blue + 160, rng.uniform(250, 600), rng.uniform(0.4, 0.6), 1.05),  # sun
            (0.85 * gray, gray, rng.uniform(160, 400), rng.uniform(0, 0.12), 0.95),  # clouds
            (0.97 * gray, gray, rng.uniform(45, 90), rng.uniform(0, 0.1), 1.0),  # haze
            (0.55 * blue, dusk, rng.uniform(150, 350), rng.uniform(0.1, 0.35), 0.72),  # evening
        ]
        # Colors of the zenith and the horizon (also the haze's), meters after which 63 % of a color is haze, share of
        # light that a cast shadow takes, and a factor on all colors.
        chosen = weathers[rng.choice(4, p=[0.4, 0.3, 0.15, 0.15])]
        self.sky_top, self.horizon, self.haze_distance, self.shadow, exposure = chosen
        self.exposure = exposure * rng.uniform(0.85, 1.12) * rng.uniform(0.93, 1.07, 3)
        # Meters in x and z by which the shadow of a point one meter high is shifted.
        self.shift = np.array([rng.choice([-1, 1]) * rng.uniform(0.25, 1.1), rng.uniform(-0.7, 0.7)])
        self.clouds = rng.standard_normal((8, 10)) + rng.uniform(-0.7, 0.7)  # where they are, coarsely
        self.noise = rng.uniform(2.5, 6.0)  # gray values, standard deviation in mid-gray


def paint_sky(canvas: Canvas, light: Light) -> None:
    """Paint a gradient with clouds, from the top down to below the horizon."""
    rows = min(max(int(canvas.camera.horizon) + 2, 1), len(canvas.mask))
    down = np.linspace(0, 1, _SKY_ROWS)[:, None, None]
    clear = light.sky_top * (1 - down) + light.horizon * down
    clouds = cv2.resize(light.clouds, (160, _SKY_ROWS), interpolation=cv2.INTER_CUBIC)[..., None]
    sky = clear + np.clip(0.4 * clouds, 0, 0.8) * (1 - 0.7 * down) * (1.06 * light.horizon - clear)
    canvas.image[:rows] = cv2.resize(sky.astype(np.uint8), (canvas.mask.shape[1], rows))
    canvas.mask[:rows] = SKY


def record(picture: np.ndarray, light: Light, rng: np.random.Generator) -> np.ndarray:
    """Apply exposure, vignette, blur and noise to a picture, (H, W, 3) uint8 RGB."""
    height, width = picture.shape[:2]
    rows, columns = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)
    gain = (1 - 0.08 * (rows**2 + columns**2))[..., None] * light.exposure
    recorded = cv2.GaussianBlur(picture * gain.astype(np.float32), (3, 3), 0.45)
    # Photons arrive at random: bright pixels have more noise; the rest is read out with every pixel.
    strength = np.float32(light.noise) * np.sqrt(0.25 + recorded / 170)
    grain = rng.standard_normal((height, width, 4), dtype=np.float32)
    recorded += strength * (0.6 * grain[..., :3] + 0.5 * grain[..., 3:])
    return np.clip(np.round(recorded), 0, 255).astype(np.uint8)
