"""The picture that a training leaves of itself changes nothing of the training."""

from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from models.segmenter import Segmenter
from pipeline.data.crops import crop_dataset
from pipeline.data.images import read_image
from pipeline.data.samples import read_samples
from pipeline.training.fabric import launch
from pipeline.training.loop import fit
from pipeline.training.objective import SupervisedObjective
from pipeline.training.preview import write_preview
from tests.toy import TOY_CLASSES, TOY_TASK, toy_segmenter, toy_training, write_toy_samples


def test_a_training_with_previews_is_the_same_training(tmp_path: Path) -> None:
    training = toy_training(batch_size=2, log_every=2, checkpoint_every=1)
    samples = read_samples(write_toy_samples(tmp_path / "toy"), "train")

    def trained(folder: str, previewed: bool) -> Segmenter:
        torch.manual_seed(0)
        segmenter = toy_segmenter()[0]
        frozen = next(part for part in segmenter.modules() if isinstance(part, torch.nn.BatchNorm2d))
        objective = SupervisedObjective(segmenter, TOY_TASK)
        preview = partial(write_preview, segmenter, samples[0], TOY_CLASSES, tmp_path / "preview.png")
        fit(
            objective, crop_dataset(samples, TOY_CLASSES, training, 0, tmp_path), training, launch(1, "fp32", False),
            name="toy", iterations=3, learning_rate=0.05, scratch=tmp_path / folder,
            **({"on_save": preview} if previewed else {}),
        )  # fmt: skip
        assert frozen.training
        return segmenter

    plain, previewed = trained("plain", False).state_dict(), trained("previewed", True).state_dict()
    assert all(torch.equal(tensor, previewed[name]) for name, tensor in plain.items())


def test_it_shows_image_label_and_prediction(tmp_path: Path) -> None:
    sample = read_samples(write_toy_samples(tmp_path / "toy"), "train")[0]
    segmenter = toy_segmenter()[0]
    write_preview(segmenter, sample, TOY_CLASSES, tmp_path / "preview.png")
    image, picture = read_image(sample.image), np.array(Image.open(tmp_path / "preview.png"))
    times = picture.shape[0] // image.shape[0]
    panels = np.split(picture[::times, ::times], 3, axis=1)
    assert (panels[0] == image).all()
    colors = {tuple(entry.color) for entry in TOY_CLASSES.classes}
    assert {tuple(color) for color in panels[2].reshape(-1, 3).tolist()} <= colors
    assert {tuple(color) for color in panels[1].reshape(-1, 3).tolist()} <= colors | {(0, 0, 0)}
