"""Augmentation: sizes, alignment of image and labels, ranges."""

from dataclasses import replace

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.build import build_segmenter
from pipeline.data.augmentation import NEUTRAL, augment
from pipeline.data.classes import IGNORE_INDEX
from pipeline.params.training import TrainingParams
from tests.toy import TOY_DESIGN

STILL = TrainingParams(
    crop_height=24, crop_width=32, scale_min=1.0, scale_max=1.0, flip_probability=0.0, brightness=0.0, contrast=0.0,
    saturation=0.0, hue=0.0, max_class_share=1.0,
)  # fmt: skip
WILD = replace(
    STILL, scale_min=0.25, scale_max=2.0, flip_probability=0.5, brightness=40.0, contrast=0.5, saturation=0.5, hue=18.0
)


def _coded(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels that can be read from the image: red = 20 * label."""
    labels = np.random.default_rng(0).integers(0, 10, size=(height, width)).astype(np.uint8)
    return np.stack([labels * 20, labels, labels], axis=-1), labels


@given(height=st.integers(1, 60), width=st.integers(1, 60), seed=st.integers(0, 1000))
def test_any_image_gives_a_crop_of_the_size_asked_for(height: int, width: int, seed: int) -> None:
    image, labels, distortion = augment(*_coded(height, width), WILD, np.random.default_rng(seed))
    assert image.shape == (24, 32, 3)
    assert labels.shape == (24, 32)
    assert image.dtype == labels.dtype == np.uint8
    assert set(np.unique(labels)) <= {*range(10), IGNORE_INDEX}
    assert (np.abs(distortion - NEUTRAL) <= (40.0, 0.5, 0.5, 18.0)).all()


def test_image_and_labels_move_together() -> None:
    for seed in range(10):
        image, labels, _ = augment(*_coded(40, 50), replace(STILL, flip_probability=0.5), np.random.default_rng(seed))
        assert (image[..., 0] == labels * 20).all()


def test_padding_is_unlabelled() -> None:
    image, labels, _ = augment(*_coded(10, 12), STILL, np.random.default_rng(0))
    assert (labels[10:] == IGNORE_INDEX).all()
    assert (labels[:, 12:] == IGNORE_INDEX).all()
    assert (labels[:10, :12] < 10).all()
    mean = torch.tensor(image[10:]).movedim(-1, 0)[None] / 255  # what the network sees of it, normalized
    network = build_segmenter(TOY_DESIGN)
    assert ((mean - network.mean) / network.std).abs().max() < 0.5 / 255 / network.std.min()


def test_a_crop_of_one_class_is_drawn_again() -> None:
    labels = np.zeros((24, 320), dtype=np.uint8)
    labels[:, 150:170] = np.arange(20)[None] % 2 + 1
    image = np.zeros((24, 320, 3), dtype=np.uint8)
    choosy, careless = replace(STILL, max_class_share=0.9), STILL

    def mixed(training: TrainingParams) -> int:
        crops = [augment(image, labels, training, np.random.default_rng(seed))[1] for seed in range(40)]
        return sum(len(np.unique(crop)) > 1 for crop in crops)

    assert mixed(choosy) > mixed(careless)


def test_a_crop_without_a_label_is_drawn_again() -> None:
    labels = np.full((24, 320), IGNORE_INDEX, dtype=np.uint8)
    labels[:, :80] = 1
    image = np.zeros((24, 320, 3), dtype=np.uint8)
    crops = [augment(image, labels, STILL, np.random.default_rng(seed))[1] for seed in range(200)]
    assert sum((crop == IGNORE_INDEX).all() for crop in crops) < 0.15 * len(crops)  # 0.72 ** 10 of them; once 0.72


def test_without_distortion_pixels_stay() -> None:
    image, _, distortion = augment(*_coded(24, 32), STILL, np.random.default_rng(0))
    assert (image == _coded(24, 32)[0]).all()
    assert tuple(distortion) == NEUTRAL


def test_each_distortion_comes_in_half_of_the_draws() -> None:
    draws = np.stack([augment(*_coded(24, 32), WILD, np.random.default_rng(seed))[2] for seed in range(400)])
    assert np.allclose((draws != np.float32(NEUTRAL)).mean(axis=0), 0.5, atol=0.1)
