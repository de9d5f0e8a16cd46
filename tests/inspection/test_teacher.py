from pathlib import Path

import numpy as np
import pytest
import torch

from models.checkpoint import save_checkpoint
from models.errors import ModelError
from pipeline.data.classes import IGNORE_INDEX
from pipeline.errors import ArtifactError
from pipeline.inspection.teacher import Teacher, pixel_maps
from segdistill_runtime.images import Resizing
from tests.raising import raises
from tests.toy import TOY_CLASSES, toy_pair, toy_segmenter

AS_IT_IS = Resizing(48, 64, "stretch")


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    save_checkpoint(*toy_segmenter(), {}, tmp_path / "teacher.safetensors")
    return tmp_path / "teacher.safetensors"


def test_pixel_maps_are_those_of_the_softmax() -> None:
    torch.manual_seed(0)
    logits = 2 * torch.randn(3, 4, 5)
    labels = torch.randint(0, 3, (4, 5)).to(torch.uint8)
    labels[0, 0] = IGNORE_INDEX
    places = torch.arange(20).view(4, 5)
    prediction, confidence, label_probability = (values.numpy() for values in pixel_maps(logits, labels, places))
    assert prediction.dtype == np.uint8
    for y, x in np.ndindex(4, 5):
        odds = np.exp(logits[:, y, x].double().numpy())
        probabilities = odds / odds.sum()
        assert prediction[y, x] == probabilities.argmax()
        assert confidence[y, x] == pytest.approx(probabilities.max(), abs=1e-6)
        if labels[y, x] != IGNORE_INDEX:
            assert label_probability[y, x] == pytest.approx(probabilities[labels[y, x]], abs=1e-6)


def test_images_of_a_batch_are_predicted_as_each_alone(checkpoint: Path) -> None:
    pairs = [toy_pair(seed) for seed in range(3)]
    teacher = Teacher(checkpoint, TOY_CLASSES.names, 2, AS_IT_IS)
    images = torch.from_numpy(np.stack([image for image, _ in pairs])).permute(0, 3, 1, 2)
    labels = [of_image for _, of_image in pairs]
    together = list(teacher.predict(images, labels))
    assert len({output.embedding.tobytes() for output in together}) == 3
    for index, output in enumerate(together):
        (alone,) = teacher.predict(images[index : index + 1], labels[index : index + 1])
        assert output.entropy == pytest.approx(alone.entropy, abs=1e-5)
        assert output.confidence == pytest.approx(alone.confidence, abs=1e-5)
        assert output.label_probability == pytest.approx(alone.label_probability, abs=1e-5)
        assert output.embedding == pytest.approx(alone.embedding, abs=1e-5)


def test_an_embedding_is_the_direction_of_the_mean_head_features(checkpoint: Path) -> None:
    image, labels = toy_pair(0)
    tensor = torch.from_numpy(image).permute(2, 0, 1)[None]
    (output,) = Teacher(checkpoint, TOY_CLASSES.names, 2, AS_IT_IS).predict(tensor, [labels])
    torch.manual_seed(0)
    segmenter = toy_segmenter()[0].eval()
    with torch.no_grad():
        mean = segmenter(tensor.float() / 255).head_features[0].mean(dim=(1, 2))
    assert output.embedding == pytest.approx((mean / mean.norm()).numpy(), abs=1e-5)


def test_a_teacher_must_know_these_classes(checkpoint: Path) -> None:
    with raises(ArtifactError, checkpoint, "ground, box,", "box, pond", "a, b", "dvc repro"):
        Teacher(checkpoint, ["a", "b"], 2, AS_IT_IS)
    with raises(ModelError, checkpoint.with_name("none"), "dvc repro"):
        Teacher(checkpoint.with_name("none"), TOY_CLASSES.names, 2, AS_IT_IS)
