"""Crops drawn at the size that networks see: the networks do not make them small again."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models.build import build_segmenter
from pipeline.data.augmentation import NEUTRAL, PADDING
from pipeline.data.crops import crop_dataset
from pipeline.data.samples import read_samples
from pipeline.distillation.kd import KD
from pipeline.distillation.objective import DistillationObjective
from pipeline.training.objective import SupervisedObjective
from tests.toy import TOY_CLASSES, TOY_DESIGN, TOY_TASK, toy_training, write_toy_samples


def _half() -> torch.nn.Module:
    torch.manual_seed(0)
    return build_segmenter(replace(TOY_DESIGN, input_scale=0.5)).eval()


def test_a_small_image_is_seen_as_it_is() -> None:
    network, image = _half(), torch.rand(2, 3, 48, 64)
    small = network(image, 0.5)
    network.input_scale = 1.0
    torch.testing.assert_close(small.logits, network(image).logits, rtol=0, atol=0)
    assert small.logits.shape[-2:] == (3, 4)
    network.input_scale = 0.5
    assert network(image).logits.shape[-2:] == (2, 2)
    assert network(image, 0.75).logits.shape[-2:] == (2, 3)  # 32 x 43 pixels


def test_the_large_image_made_small_outside_gives_the_same() -> None:
    """So what was learned from small crops holds for whole images."""
    network, image = _half(), torch.rand(1, 3, 96, 128)
    small = torch.nn.functional.interpolate(image, scale_factor=0.5, mode="bilinear", align_corners=False)
    torch.testing.assert_close(network(small, 0.5).logits, network(image).logits, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("taught", [False, True])
def test_student_and_teacher_see_the_same_crop(taught: bool) -> None:
    image = torch.randint(0, 256, (2, 3, 48, 64), dtype=torch.uint8)
    labels = torch.randint(0, 3, (2, 48, 64), dtype=torch.uint8)
    neutral = torch.tensor([NEUTRAL, NEUTRAL])

    def loss(input_scale: float, image_scale: float) -> float:
        networks = [_half(), _half()]
        for network in networks:
            network.input_scale = input_scale
        task = TOY_TASK._replace(image_scale=image_scale)
        if taught:
            methods = {"kd": KD(KD.Params(), *networks, 1)}
            objective = DistillationObjective(networks[0], networks[1], methods, {"kd": 1.0}, task)
        else:
            objective = SupervisedObjective(networks[0], task)
        return objective.eval()(image, labels, neutral).total.item()

    assert loss(0.5, 0.5) == loss(1.0, 1.0) != loss(0.5, 1.0)


def test_images_are_drawn_at_that_scale(tmp_path: Path) -> None:
    samples = read_samples(write_toy_samples(tmp_path), "train")
    training = toy_training(scale_min=1.0, scale_max=1.0, image_scale=0.5)
    image, labels, *_ = crop_dataset(samples, TOY_CLASSES, training, 0, tmp_path / "scratch")[0]
    assert (image.shape, labels.shape) == ((48, 64, 3), (48, 64))
    assert (image[:24, :32] != PADDING).any(axis=2).all()
    assert (image[24:] == PADDING).all()
    assert (image[:, 32:] == PADDING).all()
