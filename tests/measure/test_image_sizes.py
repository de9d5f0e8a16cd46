"""Images of any size through all that is measured: a small, a portrait and a large one, by both ways of resizing."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.data.classes import IGNORE_INDEX
from pipeline.data.images import read_image, read_labels, read_mask
from pipeline.data.samples import Sample, read_samples, write_samples
from pipeline.deploy.export import export_run
from pipeline.inspection.teacher import Teacher
from pipeline.measure.accuracy import ConfusionMatrix
from pipeline.measure.evaluate import evaluate_checkpoint
from pipeline.params.deployment import EvaluationParams, QuantizationParams
from pipeline.quantization.calibration import choose_calibration
from pipeline.quantization.layer_choice import LayerSensitivity, choose_layers
from pipeline.quantization.quantizer import Quantizer
from pipeline.runtime.artifacts import open_artifact
from segdistill_runtime.bundle import Segmenter
from segdistill_runtime.contract import Contract, GoldenFiles, RuntimeFile
from segdistill_runtime.images import Resizing
from tests.toy import TOY_CLASSES
from tests.toy_run import EXPORT, HALF_BUDGET, NO_BUDGET, PARITY, RESIZING, write_toy_run

pytestmark = pytest.mark.slow
SIZES = ((40, 30), (90, 60), (48, 64), (70, 130), (150, 40))


@pytest.fixture(scope="module", params=["stretch", "letterbox"])
def resizing(request: pytest.FixtureRequest) -> Resizing:
    return RESIZING._replace(mode=request.param)


@pytest.fixture(scope="module")
def folder(resizing: Resizing, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported toy run whose images have all of these sizes in every split."""
    folder = write_toy_run("pspnet", tmp_path_factory.mktemp("run"), 15, resizing, SIZES)
    splits = ["val", "test", "train"]
    samples = [s._replace(split=splits[i // 5]) for i, s in enumerate(read_samples(folder / "samples.csv")[:15])]
    write_samples(folder / "samples.csv", samples)
    evaluate_checkpoint(
        "toy", "none", {}, 0, EvaluationParams(batch_size=3), resizing, folder / "classes.json", folder / "samples.csv",
        folder / "checkpoint.safetensors", folder, folder / "evaluate.json",
    )  # fmt: skip
    export_run(
        "toy", replace(EXPORT, resize=resizing.mode, logit_images=5, other_shapes=[]), replace(PARITY, fp16=NO_BUDGET),
        "test",
        folder / "classes.json", folder / "samples.csv", folder / "checkpoint.safetensors", folder / "predictions",
        folder / "export", folder / "export.json",
    )  # fmt: skip
    return folder


@pytest.fixture
def samples(folder: Path) -> list[Sample]:
    return read_samples(folder / "samples.csv", "test")


def test_the_accuracy_that_is_claimed_is_that_of_the_deployed_model(
    folder: Path, resizing: Resizing, samples: list[Sample]
) -> None:
    file = RuntimeFile("onnxruntime", "fp32", "model.onnx", None)
    contract = Contract("toy", *resizing, [file], [], GoldenFiles("", "", {}, {}), {})
    confusion = ConfusionMatrix(3)
    with open_artifact(folder / "export/model.onnx", 1) as runner:
        segmenter = Segmenter(contract, file, runner)
        for sample in samples:
            confusion.add(read_labels(sample, TOY_CLASSES), segmenter.segment(read_image(sample.image)))
    assert json.loads((folder / "evaluate.json").read_text())["miou"] == pytest.approx(confusion.miou(), abs=1e-4)
    assert confusion.miou() > 0.4


def test_parity_compares_every_image_at_its_own_size(folder: Path, samples: list[Sample]) -> None:
    assert [read_mask(folder / f"predictions/{sample.id}.png").shape for sample in samples] == list(SIZES)
    metrics = json.loads((folder / "export.json").read_text())
    full, evaluated = metrics["artifacts"][0]["parity"], json.loads((folder / "evaluate.json").read_text())
    assert (full["images"], full["reference_miou"]) == (len(SIZES), evaluated["miou"])
    assert full["pixel_agreement"] >= 0.9999
    assert metrics["max_logit_difference"] < 1e-4


def test_layers_are_calibrated_and_judged_on_images_as_they_are_deployed(
    folder: Path, resizing: Resizing, tmp_path: Path
) -> None:
    graph = folder / "export/model.onnx"
    chosen = choose_calibration(read_samples(folder / "samples.csv", "train"), 5)
    images = [resizing.apply(read_image(sample.image))[None] for sample in chosen]
    sensitivity = LayerSensitivity(read_samples(folder / "samples.csv", "val"), TOY_CLASSES, 2, graph, resizing)
    assert [reference.shape for reference in sensitivity.reference] == list(SIZES)
    quantizer = Quantizer(graph, images, QuantizationParams().clip_percentile, tmp_path)
    choice = choose_layers(quantizer, "cpu", sensitivity, HALF_BUDGET, 0, list, tmp_path / "int8.onnx")
    assert (choice.parity.images, choice.parity.reference_miou > 0.4) == (len(SIZES), True)
    assert choice.parity.pixel_agreement > 0.9


def test_the_teacher_is_inspected_as_it_was_evaluated(folder: Path, resizing: Resizing, samples: list[Sample]) -> None:
    teacher = Teacher(folder / "checkpoint.safetensors", TOY_CLASSES.names, 1, resizing)
    looked_at = teacher.look_at(samples, 4, lambda sample: read_labels(sample, TOY_CLASSES))
    for sample, labels, output in looked_at:
        assert {found.shape for found in output[:4]} == {labels.shape}
        assert (output.prediction == read_mask(folder / f"predictions/{sample.id}.png")).mean() > 0.999
        right = (output.prediction == labels) & (labels != IGNORE_INDEX)
        assert output.label_probability[right] == pytest.approx(output.confidence[right])
        assert (output.label_probability <= output.confidence).all()


def test_what_is_predicted_for_padding_is_nobody_s() -> None:
    def dark_is_a_pond(images: np.ndarray) -> np.ndarray:
        return np.where(images.max(axis=3) == 0, 2, 0).astype(np.uint8)

    letterbox = RESIZING._replace(mode="letterbox")
    images = [np.full((*size, 3), 200, np.uint8) for size in SIZES]
    assert any(dark_is_a_pond(letterbox.apply(image)[None]).any() for image in images)
    assert not any(found.any() for found in letterbox.segment(dark_is_a_pond, images))
