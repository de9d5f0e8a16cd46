"""What stands still: sky, skyline, houses, fences, trees, poles, signs and dustbins."""

import cv2
import numpy as np

from pipeline.preparation.streets.camera import NEAR
from pipeline.preparation.streets.canvas import Canvas
from pipeline.preparation.streets.ground import FAR
from pipeline.preparation.streets.street_classes import BUILDING, POLE, SIGN, SKY, VOID
from pipeline.preparation.streets.world import Bin, Building, Pole, World

_SKY_ROWS = 64  # the sky is smooth: it is computed small and stretched
_CIRCLE = np.linspace(0, 2 * np.pi, 16, endpoint=False)
_SIGN_OUTLINES = {  # in units of half a sign's width
    "round": np.stack([np.cos(_CIRCLE), np.sin(_CIRCLE)], axis=1),
    "triangle": np.array([(-1, -0.75), (1, -0.75), (0, 1.0)]),
    "diamond": np.array([(-1, 0), (0, -1), (1, 0), (0, 1)]),
    "board": np.array([(-1.5, -0.9), (1.5, -0.9), (1.5, 0.9), (-1.5, 0.9)]),
    "lights": np.array([(-0.5, -1.4), (0.5, -1.4), (0.5, 1.4), (-0.5, 1.4)]),
}
_LAMPS = np.array([[214.0, 40, 34], [120, 84, 20], [24, 88, 50]])


def draw_sky(canvas: Canvas, world: World, frame: int) -> None:
    """Paint a gradient with drifting clouds, from the top down to below the horizon."""
    height, width = canvas.mask.shape
    rows = min(max(int(np.ceil(canvas.camera.horizon)) + 1, 1), height)
    light = world.light
    down = np.linspace(0, 1, _SKY_ROWS, dtype=np.float32)[:, None, None]
    clear = light.sky_top * (1 - down) + light.sky_horizon * down
    drift = np.roll(world.clouds, 2 * frame, axis=1)[: 2 * _SKY_ROWS : 2]
    cover = np.clip(0.5 * drift + 1.1 * (light.cloud_cover - 0.5), 0, 1)[..., None] * (1 - 0.6 * down)
    sky = np.clip(clear * (1 - cover) + light.cloud * cover, 0, 255).astype(np.uint8)
    canvas.image[:rows] = cv2.resize(sky, (width, rows), interpolation=cv2.INTER_LINEAR)
    canvas.mask[:rows] = SKY


def draw_skyline(canvas: Canvas, world: World) -> None:
    """Paint the far end of the street; it does not come closer."""
    skyline = world.skyline
    for left, right, height, color, raw_id in zip(
        skyline.edges, skyline.edges[1:], skyline.heights, skyline.colors, skyline.raw_ids, strict=False
    ):
        x0, x1 = canvas.camera.offset + FAR * np.array([left, right])
        corners = [
            (x0, 0, FAR),
            (x0, height, FAR),
            ((x0 + x1) / 2, height * 1.12, FAR),
            (x1, height, FAR),
            (x1, 0, FAR),
        ]
        canvas.polygon(np.array(corners), color, int(raw_id))


def draw_building(canvas: Canvas, building: Building, near: float) -> None:
    """Paint the gable towards the camera and the front along the street."""
    far, back = near + building.length, building.x + np.sign(building.x) * building.depth
    if near > NEAR:
        top = building.height
        ridge = ((building.x + back) / 2, top * 1.08, near)
        corners = [(building.x, 0, near), (building.x, top, near), ridge, (back, top, near), (back, 0, near)]
        canvas.polygon(np.array(corners), building.gable, BUILDING)
        for story in range(1, int(top / 3.2)):  # a few windows, so that the gable is not a blank sheet
            for share in (0.3, 0.62):
                x = building.x + share * (back - building.x)
                window = [(x, story * 3.2, near), (x + 1, story * 3.2, near), (x + 1, story * 3.2 + 1.4, near)]
                canvas.polygon(np.array([*window, (x, story * 3.2 + 1.4, near)]), building.gable * 0.5, BUILDING)
    canvas.wall(building.front, building.x, near, far, building.height, BUILDING)


def draw_pole(canvas: Canvas, pole: Pole, distance: float) -> None:
    """Paint a pole with its lamp or its sign."""
    if distance < NEAR:
        return
    scale = canvas.camera.pixels_per_meter(distance)
    tip = np.array([[pole.x, 0, distance], [pole.x, pole.height, distance]])
    pixels = canvas.camera.project(tip)
    canvas.stroke(pixels, pole.width * scale, False, pole.color, distance, POLE)
    if pole.arm:
        lamp = pixels[1] + np.array([[0, 0], [pole.arm * scale, -0.25 * scale]])
        canvas.stroke(lamp, 0.1 * scale, False, pole.color, distance, POLE)
        head = lamp[1] + np.array([[-0.3, -0.1], [0.3, -0.1], [0.3, 0.1], [-0.3, 0.1]]) * scale
        canvas.fill(head, pole.color * 0.9 + 30, distance, POLE)
    if pole.sign:
        _draw_sign(canvas, pole, pixels[1], scale, distance)


def _draw_sign(canvas: Canvas, pole: Pole, top: np.ndarray, scale: float, distance: float) -> None:
    half = 0.45 * scale
    outline = _SIGN_OUTLINES[pole.sign] * (half, -half)
    if pole.sign == "lights":
        canvas.fill(top + outline, np.array([34.0, 36, 36]), distance, SIGN)
        for row, lamp in zip((-0.85, 0.0, 0.85), _LAMPS, strict=True):
            canvas.fill(top + (0, row * half) + _SIGN_OUTLINES["round"] * 0.32 * half, lamp, distance, SIGN)
        return
    canvas.fill(top + outline, pole.sign_rim, distance, SIGN)
    canvas.fill(top + 0.76 * outline, pole.sign_color, distance, SIGN)
    canvas.fill(
        top + np.array([[-0.5, -0.1], [0.5, -0.1], [0.5, 0.15], [-0.5, 0.15]]) * half, pole.sign_rim, distance, SIGN
    )


def draw_bin(canvas: Canvas, item: Bin, distance: float) -> None:
    """Paint a dustbin, which is of no class."""
    if distance < NEAR:
        return
    foot = np.array([item.x, 0, distance])
    outline = np.array([(-0.26, 0, 0), (0.26, 0, 0), (0.3, 0.95, 0), (-0.3, 0.95, 0)])
    canvas.polygon(outline + foot, item.color, VOID)
    lid = np.array([(-0.33, 0.9, 0), (0.33, 0.9, 0), (0.3, 1.08, 0), (-0.3, 1.08, 0)])
    canvas.polygon(lid + foot, item.color * 0.6, VOID)
