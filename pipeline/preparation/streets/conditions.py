"""Weather, ground and horizon of a street, drawn at random."""

import numpy as np

from pipeline.preparation.streets.street_classes import BUILDING, TREE
from pipeline.preparation.streets.textures import fractal_noise
from pipeline.preparation.streets.world import PERIOD, Ground, Light, Skyline

_WEATHER = ("sun", "clouds", "haze", "evening")
_CHANCES = (0.4, 0.3, 0.15, 0.15)


def random_light(rng: np.random.Generator) -> Light:
    weather = rng.choice(_WEATHER, p=_CHANCES)
    gray = rng.uniform(165, 235) * np.array([0.97, 1.0, 1.03])
    blue = np.array([rng.uniform(70, 130), rng.uniform(130, 175), rng.uniform(200, 240)])
    pale = np.array([rng.uniform(190, 225), rng.uniform(205, 230), rng.uniform(220, 245)])
    dusk = np.array([rng.uniform(200, 245), rng.uniform(150, 190), rng.uniform(110, 170)])
    top, horizon, cloud, haze_distance, strength, exposure = {
        "sun": (blue, pale, np.full(3, 245.0), rng.uniform(250, 600), rng.uniform(0.4, 0.62), rng.uniform(0.85, 1.2)),
        "clouds": (gray * 0.85, gray, gray * 1.08, rng.uniform(160, 400), rng.uniform(0, 0.12), rng.uniform(0.75, 1.1)),
        "haze": (gray * 0.97, gray, gray * 1.02, rng.uniform(45, 90), rng.uniform(0, 0.1), rng.uniform(0.85, 1.1)),
        "evening": (
            blue * 0.55,
            dusk,
            dusk * 0.8,
            rng.uniform(150, 350),
            rng.uniform(0.1, 0.35),
            rng.uniform(0.58, 0.8),
        ),
    }[str(weather)]
    return Light(
        sky_top=top,
        sky_horizon=horizon,
        cloud=cloud,
        cloud_cover=rng.uniform(0.2, 0.8),
        shadow_x=float(rng.choice([-1, 1]) * rng.uniform(0.25, 1.1)),
        shadow_z=rng.uniform(-0.7, 0.7),
        shadow_strength=strength,
        haze_distance=haze_distance,
        exposure=exposure,
        gamma=rng.uniform(0.85, 1.2),
        cast=rng.uniform(0.92, 1.08, 3),
        noise=rng.uniform(2.5, 7.0),
        blur=rng.uniform(0.2, 0.65),
        vignette=rng.uniform(0.0, 0.3),
    )


def random_ground(rng: np.random.Generator) -> Ground:
    lane = rng.uniform(2.9, 3.6)
    road_half = lane + (2.2 if rng.random() < 0.5 else rng.uniform(0.2, 0.8))
    asphalt = rng.uniform(72, 138) * rng.uniform(0.96, 1.04, 3)
    slabs = rng.uniform(95, 170) * np.array([1.03, 1.0, 0.95]) * rng.uniform(0.96, 1.04, 3)
    count = int(rng.integers(4, 12))
    patches = np.column_stack(
        [
            rng.uniform(-road_half + 1, road_half - 1, count),
            rng.uniform(0, PERIOD, count),
            rng.uniform(0.5, 2.2, count),
            rng.uniform(0.6, 7, count),
            rng.choice([-1, 1], count) * rng.uniform(0.06, 0.25, count) + 1,
        ]
    )
    return Ground(
        road_half=road_half,
        lane=lane,
        pavement=rng.uniform(2.2, 5.0),
        asphalt=asphalt,
        slabs=slabs,
        marking=np.array([225.0, 225, 218]) * rng.uniform(0.75, 1.05),
        dash=rng.uniform(1.5, 4.5),
        edge_lines=bool(rng.random() < 0.5),
        crossings=tuple(rng.uniform(0, PERIOD, int(rng.integers(0, 3)))),
        patches=patches,
        tile=_ground_tile(rng),
    )


def random_skyline(rng: np.random.Generator) -> Skyline:
    count = int(rng.integers(10, 22))
    widths = rng.uniform(0.4, 1.6, count)
    raw_ids = np.where(rng.random(count) < rng.uniform(0.2, 0.8), TREE, BUILDING)
    leaves = np.array([52.0, 70, 44]) * rng.uniform(0.8, 1.3, (count, 1))
    stones = np.array([128.0, 116, 108]) * rng.uniform(0.6, 1.3, (count, 1)) * rng.uniform(0.9, 1.1, (count, 3))
    return Skyline(
        edges=np.concatenate([[0.0], np.cumsum(widths)]) / widths.sum() * 2.4 - 1.2,
        heights=rng.uniform(4, 15, count),
        colors=np.where((raw_ids == TREE)[:, None], leaves, stones),
        raw_ids=raw_ids,
    )


def _ground_tile(rng: np.random.Generator) -> np.ndarray:
    size = 256
    coarse = fractal_noise(rng, size, (4, 8, 16, 32), 0.8)
    grain = rng.standard_normal((size, size), dtype=np.float32)
    asphalt = 128 * (1 + rng.uniform(0.04, 0.1) * coarse + rng.uniform(0.03, 0.09) * grain)
    slabs = 128 * (1 + 0.06 * np.roll(coarse, 97, axis=0) + 0.05 * grain)
    pitch = int(rng.choice([16, 32, 64]))
    slabs[::pitch] *= 0.72
    slabs[:, :: pitch * int(rng.integers(1, 3))] *= 0.72
    return np.clip(np.dstack([asphalt, slabs]), 0, 255).astype(np.uint8)
