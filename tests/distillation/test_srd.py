"""SRD: the authors' numbers, the definition number by number, and the classifier, which stays the teacher's."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from models import HEADS
from models.build import build_segmenter
from models.folding import fold_batchnorms
from models.segmenter import SegmentationOutput, Segmenter
from pipeline.distillation.objective import DistillationObjective, resize_teacher
from pipeline.distillation.srd import SRD
from tests.distillation.agreement import Arrays, assert_agrees, assert_gradient
from tests.distillation.outputs import build_method, channels, make, random_labels, random_output
from tests.toy import TOY_DESIGN, TOY_TASK
from tests.vectors.reading import Vector, weights_under


def _method(arrays: Arrays, **values: Any) -> SRD:
    student, teacher, weight = arrays["feat_s"], arrays["feat_t"], arrays["classifier.weight"]
    classifier = nn.Conv2d(weight.shape[1], weight.shape[0], kernel_size=1).to(weight.dtype).requires_grad_(False)
    classifier.load_state_dict(weights_under(arrays, "classifier."))
    networks = channels(head=student.shape[1]), channels(head=teacher.shape[1], classifier=classifier)
    method = make(SRD, *networks, **values).to(student.dtype)
    theirs = {name.replace("Connectors.", "connect."): w for name, w in weights_under(arrays, "w.").items()}
    missing, unexpected = method.load_state_dict(theirs, strict=False)
    assert not unexpected
    assert all("running" in name or "tracked" in name for name in missing)
    return method


def _loss(arrays: Arrays, weight: float) -> torch.Tensor:
    outputs = (
        SegmentationOutput(logits=arrays["logit_t"], auxiliary_logits=None, head_features=maps, backbone_features=maps)
        for maps in (arrays["feat_s"], arrays["feat_t"])
    )
    return _method(arrays, means_weight=weight)(*outputs, random_labels(8, 8))


@pytest.mark.vectors("srd")
def test_agrees_with_the_authors(vector: Vector) -> None:
    assert_agrees(vector, lambda arrays: _loss(arrays, vector.hyper["weight_means"]), expected="total")


@pytest.mark.vectors("srd")
def test_agrees_with_the_authors_in_both_terms_and_every_weights_gradient(vector: Vector) -> None:
    arrays = vector.arrays()
    method = _method(arrays)
    means, logits = method.terms(arrays["feat_s"], arrays["feat_t"], arrays["logit_t"])
    assert means.item() == pytest.approx(vector.expected["means"], rel=1e-8)
    assert logits.item() == pytest.approx(vector.expected["logits"], rel=1e-8)
    (vector.hyper["weight_means"] * means + logits).backward()
    theirs = weights_under(arrays, "grad_w.")
    assert len(theirs) == len(list(method.parameters()))
    for name, parameter in method.named_parameters():
        assert_gradient(parameter.grad, theirs[name.replace("connect.", "Connectors.")])


def test_matches_its_definition() -> None:
    """Number by number; BatchNorm by the statistics of this batch."""
    torch.manual_seed(0)
    n, c, b, k, cells = 2, 3, 5, 4, 6
    student, teacher, logits = (torch.randn(n, width, 2, 3, dtype=torch.float64) for width in (c, b, k))
    classifier = nn.Conv2d(b, k, kernel_size=1).double()
    method = make(SRD, channels(head=c), channels(head=b, classifier=classifier)).double()
    for parameter in method.parameters():
        nn.init.normal_(parameter)
    found = method.terms(student, teacher, logits)

    rows, scale, shift = (parameter.squeeze().tolist() for parameter in method.parameters())
    ours, theirs, wanted = (maps.flatten(2).tolist() for maps in (student, teacher, logits))
    connected = [[[0.0] * cells for _ in range(b)] for _ in range(n)]
    for out in range(b):
        mixed = [[sum(rows[out][i] * image[i][cell] for i in range(c)) for cell in range(cells)] for image in ours]
        mean = sum(map(sum, mixed)) / (n * cells)
        variance = sum((value - mean) ** 2 for image in mixed for value in image) / (n * cells)
        for image in range(n):
            for cell in range(cells):
                normal = (mixed[image][cell] - mean) / math.sqrt(variance + 1e-5)
                connected[image][out][cell] = max(0.0, scale[out] * normal + shift[out])
    means = logits_error = 0.0
    for image in range(n):
        for out in range(b):
            means += ((sum(connected[image][out]) - sum(theirs[image][out])) / cells) ** 2 / (n * b)
        for label, (weights, bias) in enumerate(_rows(classifier)):
            for cell in range(cells):
                score = bias + sum(weights[out] * connected[image][out][cell] for out in range(b))
                logits_error += (score - wanted[image][label][cell]) ** 2 / (n * k * cells)
    assert [term.item() for term in found] == pytest.approx([means, logits_error], rel=1e-10)


def _rows(classifier: nn.Conv2d) -> list[tuple[list[float], float]]:
    """The weights and the bias of each class."""
    assert classifier.bias is not None
    return list(zip(classifier.weight.flatten(1).tolist(), classifier.bias.tolist(), strict=True))


def test_the_weight_is_that_of_the_means() -> None:
    torch.manual_seed(0)
    classifier = nn.Conv2d(5, 3, kernel_size=1)
    method = make(SRD, channels(head=4), channels(head=5, classifier=classifier), means_weight=10.0)
    maps = [torch.randn(2, width, 4, 4) for width in (4, 5, 3)]
    means, logits = method.terms(*maps)
    student, teacher = (
        SegmentationOutput(logits=maps[2], auxiliary_logits=None, head_features=head, backbone_features=head)
        for head in maps[:2]
    )
    loss = method(student, teacher, random_labels(4, 4))
    assert loss.item() == pytest.approx(10.0 * means.item() + logits.item(), rel=1e-5)


def test_a_student_that_has_the_teachers_features_has_no_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    features = torch.randn(2, 5, 4, 6).relu()
    classifier = nn.Conv2d(5, 3, kernel_size=1)
    method = make(SRD, channels(head=5), channels(head=5, classifier=classifier))
    monkeypatch.setattr(method, "connect", nn.Identity())
    means, logits = method.terms(features, features, classifier(features))
    assert (means.item(), logits.item()) == (0.0, 0.0)
    means, logits = method.terms(features.flip(3), features, classifier(features))  # the same means elsewhere
    assert means.item() == pytest.approx(0.0, abs=1e-12)
    assert logits.item() > 1e-3


TEACHERS = {head: {"architecture": head, "output_stride": 32} for head in HEADS}
TEACHERS["vit"] = {"architecture": "segformer", "backbone": "vit_tiny_patch16_224", "output_stride": 16}


def _teacher(name: str) -> Segmenter:
    """As a run has it: its statistics are not those of a fresh network, and its BatchNorms are folded."""
    torch.manual_seed(0)
    teacher = build_segmenter(replace(TOY_DESIGN, **TEACHERS[name]))
    teacher(torch.rand(2, 3, 64, 96))
    return fold_batchnorms(teacher).requires_grad_(False)


@pytest.mark.parametrize("name", TEACHERS)
def test_the_logits_of_every_teacher_are_those_of_its_features_by_its_classifier(name: str) -> None:
    teacher = _teacher(name)
    method = make(SRD, channels(head=4), teacher)
    seen = teacher(torch.rand(2, 3, 64, 96))
    torch.testing.assert_close(method.classifier()(seen.head_features), seen.logits)
    resized = resize_teacher(random_output(4, 4, 3, 5), seen)  # as where the student's stride differs
    torch.testing.assert_close(method.classifier()(resized.head_features), resized.logits)


def test_the_classifier_is_the_teachers_and_stays_what_it_is() -> None:
    teacher = _teacher("pspnet")
    student = build_segmenter(TOY_DESIGN)
    method = build_method("srd", {}, student, teacher)
    assert set(dict(method.named_parameters())) == {"connect.0.weight", "connect.1.weight", "connect.1.bias"}
    assert all(name.startswith("connect.") for name in method.state_dict())
    objective = DistillationObjective(student, teacher, {"srd": method}, {"srd": 1.0}, TOY_TASK).double().train()
    classifier = teacher.classifier
    before = {name: tensor.clone() for name, tensor in classifier.state_dict().items()}
    assert before["weight"].dtype == torch.float64  # moved with the teacher, after the method was built
    optimizer = torch.optim.SGD([p for p in objective.parameters() if p.requires_grad], lr=1.0)
    objective.compare(torch.rand(2, 3, 64, 96, dtype=torch.float64), random_labels(64, 96)).total.backward()
    optimizer.step()
    assert all(torch.equal(before[name], tensor) for name, tensor in classifier.state_dict().items())
    assert classifier.weight.grad is None
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in method.parameters())
