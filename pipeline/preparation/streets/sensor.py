"""From a clean picture to what a cheap camera in a car records."""

import cv2
import numpy as np

from pipeline.preparation.streets.world import Light


def record(picture: np.ndarray, light: Light, rng: np.random.Generator) -> np.ndarray:
    """Apply exposure, color cast, vignette, blur and noise.

    Args:
        picture: (H, W, 3) uint8 RGB.
        light: strengths of all of it.
        rng: where the noise comes from.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    height, width = picture.shape[:2]
    rows = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    columns = np.linspace(-1, 1, width, dtype=np.float32)[None]
    corners = 1 - light.vignette * (rows**2 + columns**2) / 2
    tone = (255 * np.linspace(0, 1, 256) ** light.gamma)[:, None] * light.exposure * light.cast
    recorded = tone.astype(np.float32)[picture, np.arange(3)] * corners[..., None]
    recorded = cv2.GaussianBlur(recorded, (3, 3), light.blur)
    # Photons arrive at random: bright pixels have more noise; the rest is read out with every pixel.
    strength = light.noise * np.sqrt(0.25 + recorded / 170)
    grain = rng.standard_normal((height, width, 3), dtype=np.float32)
    recorded += strength * (0.6 * grain + 0.5 * grain[..., :1])
    return np.clip(np.round(recorded), 0, 255).astype(np.uint8)
