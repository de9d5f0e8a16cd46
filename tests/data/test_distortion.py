"""Photometric distortion in batch is what OpenCV makes of each image by way of HSV."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data.augmentation import NEUTRAL, distort


@given(
    strengths=st.tuples(st.floats(-80, 80), st.floats(0.2, 2), st.floats(0, 2), st.floats(-180, 180)),
    seed=st.integers(0, 99),
)
def test_it_is_opencvs(strengths: tuple[float, float, float, float], seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 9, 3)).astype(np.float32)
    pixels[:3] = pixels[:3, :, :1]  # grey ones
    pixels[3, :, 1] = pixels[3, :, 0]  # two channels alike
    pixels[4, :3], pixels[4, 3:] = 0, 255
    brightness, contrast, saturation, hue = strengths
    hsv = cv2.cvtColor(np.clip((pixels + brightness) * contrast, 0, 255) / 255, cv2.COLOR_RGB2HSV)
    hsv[..., 1] = np.clip(hsv[..., 1] * saturation, 0, 1)
    hsv[..., 0] = (hsv[..., 0] + hue) % 360
    ours = distort(torch.from_numpy(pixels / 255).permute(2, 0, 1)[None], torch.tensor([strengths]))
    assert ours[0].permute(1, 2, 0).numpy() == pytest.approx(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), abs=1e-4)


def test_each_image_has_its_own() -> None:
    image = torch.rand(2, 3, 5, 6)
    distorted = distort(image, torch.tensor([NEUTRAL, (10.0, 1.1, 0.5, 90.0)]))
    torch.testing.assert_close(distorted[0], image[0])
    assert (distorted[1] - image[1]).abs().mean() > 0.1
    assert torch.equal(distorted[1], distort(image[1:], torch.tensor([(10.0, 1.1, 0.5, 90.0)]))[0])
