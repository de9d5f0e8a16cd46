"""A backbone that imitates a classifier: the loss by its definition, what is written, what a student makes of it."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from models.backbone import backbone_facts, build_backbone
from models.checkpoint import load_checkpoint
from models.classifier import Classifier, load_classifier, new_classifier
from models.errors import ModelError
from pipeline.code_digest import ROOT
from pipeline.data.files import sha256
from pipeline.data.samples import UNLABELLED, read_samples, write_samples
from pipeline.distillation.student import train_student
from pipeline.errors import ArtifactError
from pipeline.params.training import ClassifierParams, PretrainingParams, WeightsParams
from pipeline.params.tree import load_params
from pipeline.pretraining.pretrain import ImitationObjective, mixed, pretrain
from pipeline.training.network import new_network
from tests.raising import raises
from tests.toy import TOY_CLASSES, toy_training, write_toy_samples

PARAMS = load_params(ROOT / "params.yaml")
TEACHER, STUDENT, CLASSES = "resnet14t", "resnet10t", 5


@pytest.fixture(scope="module")
def classifier_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(3)
    classifier = new_classifier(TEACHER, CLASSES)
    with torch.no_grad():
        classifier.fc.weight.mul_(20)  # answers that differ from image to image
    tensors = {name: tensor.contiguous() for name, tensor in classifier.backbone.network.state_dict().items()}
    tensors |= {f"fc.{name}": tensor for name, tensor in classifier.fc.state_dict().items()}
    path = tmp_path_factory.mktemp("classifier") / "classifier.safetensors"
    save_file(tensors, path)
    return path


def settings(file: Path, **changes: object) -> PretrainingParams:
    usual = PretrainingParams(
        iterations=4, backbone=STUDENT,
        classifier=ClassifierParams(backbone=TEACHER, file=str(file), sha256=sha256(file)),
        images=["train"], batch_size=4, crop_height=64, crop_width=64, scale_min=0.8, scale_max=2.0, mixup=0.5,
        learning_rate=0.02, temperature=2.0, class_weight=1.0, feature_weight=1.0, seed=0,
    )  # fmt: skip
    return replace(usual, **changes)  # type: ignore[arg-type]


def run(params: PretrainingParams, folder: Path, out: str) -> Path:
    write_toy_samples(folder)
    training = toy_training(log_every=1)
    pretrain(params, training, "", folder / "classes.json", folder / "samples.csv", folder / "scratch", folder / out)
    return folder / out


def batch() -> list[torch.Tensor]:
    random = np.random.default_rng(0)
    image = torch.from_numpy(random.integers(0, 256, (4, 3, 64, 64), dtype=np.uint8))
    return [image, torch.zeros(4, 64, 64, dtype=torch.uint8), torch.tensor([[0.0, 1.0, 1.0, 0.0]]).repeat(4, 1)]


def objective(student: Classifier, teacher: Classifier, **changes: float) -> ImitationObjective:
    params = PretrainingParams(mixup=0.0, temperature=2.0, class_weight=1.0, feature_weight=1.0)
    return ImitationObjective(student, teacher, replace(params, **changes))


def test_who_says_and_sees_the_same_has_no_loss() -> None:
    torch.manual_seed(0)
    teacher, student = new_classifier(STUDENT, CLASSES), new_classifier(STUDENT, CLASSES)
    student.load_state_dict(teacher.state_dict())
    loss = objective(student, teacher).eval()(*batch())
    assert loss.total.item() == pytest.approx(0, abs=1e-6)
    assert loss.metrics["agreement"].item() == 1


def test_the_loss_is_its_definition() -> None:
    """KL times the squared temperature, and the distance of maps brought to mean 0 and variance 1: in float64."""
    torch.manual_seed(1)
    teacher, student = new_classifier(TEACHER, CLASSES), new_classifier(STUDENT, CLASSES)
    aims = objective(student, teacher, class_weight=0.7, feature_weight=1.3, temperature=2.0).eval()
    image, labels, distortion = batch()
    loss = aims(image, labels, distortion)
    with torch.no_grad():
        said, found = teacher(image / 255), student(image / 255)
        p, q = ((output.logits.double() / 2).softmax(dim=1) for output in (said, found))
        classes = 4 * (p * (p / q).log()).sum(dim=1).mean()
        maps = [maps.double() for maps in (aims.align(found.features), said.features)]
        centered = [m - m.mean(dim=(2, 3), keepdim=True) for m in maps]
        a, b = (m / (m.square().mean(dim=(2, 3), keepdim=True) + 1e-5).sqrt() for m in centered)
    assert loss.terms["classes"].item() == pytest.approx(0.7 * classes.item(), rel=1e-4)
    assert loss.terms["features"].item() == pytest.approx(1.3 * (a - b).square().mean().item(), rel=1e-3)
    assert loss.total.item() == pytest.approx(sum(term.item() for term in loss.terms.values()), rel=1e-6)


def test_the_classifier_is_never_trained() -> None:
    teacher, student = new_classifier(TEACHER, CLASSES), new_classifier(STUDENT, CLASSES)
    before = {name: tensor.clone() for name, tensor in teacher.state_dict().items()}
    aims = objective(student, teacher).train()
    aims(*batch()).total.backward()
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert all(parameter.grad is not None for part in aims.grad_clip_groups() for parameter in part.parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in teacher.state_dict().items())  # BatchNorms too


def test_an_image_keeps_at_least_its_share() -> None:
    torch.manual_seed(0)
    image = torch.zeros(4, 3, 2, 2)
    image[1] = 1
    found = mixed(image, 0.5)
    assert 0.5 <= found[1].min() == found[1].max() <= 1  # itself, less what the one before it in the batch lends
    assert 0 < found[2].min() == found[2].max() <= 0.5
    assert not found[[0, 3]].any()
    assert mixed(image, 0.0) is image


def test_a_student_begins_with_the_backbone_and_says_so(classifier_file: Path, tmp_path: Path) -> None:
    out = run(settings(classifier_file, iterations=30), tmp_path, "pretraining")
    with (out / "training.csv").open() as file:
        totals = [float(row["total"]) for row in csv.DictReader(file)]
    assert len(totals) == 30
    assert np.mean(totals[-5:]) < 0.9 * np.mean(totals[:5])

    fresh = build_backbone(STUDENT, 32).network.state_dict()
    learned = load_file(out / "backbone.safetensors")
    assert learned.keys() == fresh.keys()
    said = backbone_facts(out / "backbone.safetensors")["weights"]
    assert all(value in said for value in ("30 iterations", "4 unlabelled", TEACHER, classifier_file.name)), said

    recipe = PARAMS.runs["pspnet_r18"]
    weights = WeightsParams(source="pretraining", file="", sha256="")
    network = replace(recipe.network, backbone=STUDENT, weights=weights, head_channels=16, auxiliary_channels=16)
    train_student(
        name="student", run=replace(recipe, network=network, iterations=1, learning_rate=1e-12),
        methods={}, code="", training=toy_training(min_learning_rate=0.0), classes=tmp_path / "classes.json",
        samples=tmp_path / "samples.csv", statistics=tmp_path / "statistics.json", teacher=tmp_path / "none",
        source=tmp_path / "none", pretrained=out, scratch=tmp_path / "scratch", out=tmp_path / "student",
    )  # fmt: skip
    student, _, facts = load_checkpoint(tmp_path / "student/checkpoint.safetensors")
    assert facts["backbone_weights"] == said
    weight = "layer1.0.conv1.weight"
    torch.testing.assert_close(student.backbone.network.state_dict()[weight], learned[weight])


def test_equal_pretrainings_are_equal_files(classifier_file: Path, tmp_path: Path) -> None:
    first, second = (run(settings(classifier_file), tmp_path, out) for out in ("first", "second"))
    other = run(settings(classifier_file, seed=1), tmp_path, "other")
    files = [folder / "backbone.safetensors" for folder in (first, second, other)]
    assert files[0].read_bytes() == files[1].read_bytes() != files[2].read_bytes()


def test_images_without_masks_teach_too(classifier_file: Path, tmp_path: Path) -> None:
    samples = read_samples(write_toy_samples(tmp_path), "train")
    blind = [sample._replace(split=UNLABELLED, mask=None, mask_sha256="") for sample in samples[:2]]
    write_samples(tmp_path / "samples.csv", [*samples[2:], *blind])
    params = settings(classifier_file, images=["train", "unlabelled"])
    pretrain(
        params, toy_training(), "", tmp_path / "classes.json", tmp_path / "samples.csv", tmp_path / "scratch",
        tmp_path / "out",
    )  # fmt: skip
    assert "4 unlabelled" in backbone_facts(tmp_path / "out/backbone.safetensors")["weights"]


def test_without_iterations_there_is_nothing(classifier_file: Path, tmp_path: Path) -> None:
    out = run(settings(classifier_file, iterations=0), tmp_path, "pretraining")
    assert out.is_dir()
    assert not list(out.iterdir())


def test_another_file_is_refused_before_it_is_read(classifier_file: Path, tmp_path: Path) -> None:
    wrong = ClassifierParams(backbone=TEACHER, file=str(classifier_file), sha256="0" * 64)
    with raises(ArtifactError, classifier_file, sha256(classifier_file), "0" * 64):
        run(settings(classifier_file, classifier=wrong), tmp_path, "out")
    missing = ClassifierParams(backbone=TEACHER, file="nowhere.safetensors", sha256="0" * 64)
    with raises(ArtifactError, Path("nowhere.safetensors").resolve(), "weights.source"):
        run(settings(classifier_file, classifier=missing), tmp_path, "out")
    assert not list((tmp_path / "out").iterdir())


def test_a_file_that_holds_no_such_classifier(classifier_file: Path, tmp_path: Path) -> None:
    tensors = load_file(classifier_file)
    path = tmp_path / "file.safetensors"
    save_file({name: tensor for name, tensor in tensors.items() if name != "fc.bias"}, path)
    with raises(ModelError, path, "fc.bias"):
        load_classifier(TEACHER, path)
    save_file({**tensors, "fc.weight": torch.zeros(CLASSES, 7)}, path)
    with raises(ModelError, path, "fc.weight", "(5, 7)"):
        load_classifier(TEACHER, path)
    with raises(ModelError, classifier_file, " tensors"):
        load_classifier("resnet26", classifier_file)


def test_a_file_of_another_kind_is_no_backbone(classifier_file: Path, tmp_path: Path) -> None:
    with raises(ModelError, classifier_file, "segdistill-backbone-1", "stage pretrain"):
        backbone_facts(classifier_file)
    save_file({"a": torch.zeros(1)}, tmp_path / "file.safetensors", metadata={"segdistill-backbone-1": "{"})
    with raises(ModelError, tmp_path / "file.safetensors", "stage pretrain", "json_invalid"):
        backbone_facts(tmp_path / "file.safetensors")


def test_without_a_folder_nobody_begins_from_scratch_unsaid() -> None:
    network = replace(
        PARAMS.runs["pspnet_r18"].network, weights=WeightsParams(source="pretraining", file="", sha256="")
    )
    with raises(ArtifactError, "stage pretrain", "dvc repro"):
        new_network(network, TOY_CLASSES, 0)


def test_a_student_without_the_backbone_says_which_stage_makes_it(tmp_path: Path) -> None:
    samples = write_toy_samples(tmp_path)
    recipe = PARAMS.runs["pspnet_r18"]
    network = replace(recipe.network, weights=WeightsParams(source="pretraining", file="", sha256=""))
    (tmp_path / "empty").mkdir()
    with raises(ArtifactError, tmp_path / "empty", "stage pretrain", "dvc repro"):
        train_student(
            name="student", run=replace(recipe, network=network, iterations=1), methods={}, code="",
            training=toy_training(), classes=tmp_path / "classes.json", samples=samples,
            statistics=tmp_path / "statistics.json", teacher=tmp_path / "none", source=tmp_path / "none",
            pretrained=tmp_path / "empty", scratch=tmp_path / "scratch", out=tmp_path / "out",
        )  # fmt: skip
