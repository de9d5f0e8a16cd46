"""The loss against mmseg's numbers and for what must always hold."""

import pytest
import torch

from models.segmenter import SegmentationOutput, Segmenter
from pipeline.data.augmentation import NEUTRAL
from pipeline.data.classes import IGNORE_INDEX
from pipeline.distillation.gdd import GDD
from pipeline.distillation.objective import DistillationObjective
from pipeline.training.objective import SupervisedObjective, cross_entropy
from tests.toy import TOY_TASK, toy_segmenter
from tests.vectors.reading import Vector


@pytest.mark.vectors("mmseg_cross_entropy")
def test_both_means_equal_their_references(vector: Vector) -> None:
    arrays = vector.arrays()
    logits, labels = arrays["logit"].requires_grad_(), arrays["label"].long()
    loss = cross_entropy(logits, labels, "all_pixels")
    loss.backward()
    assert loss.item() == pytest.approx(vector.expected["loss"], rel=1e-9)
    torch.testing.assert_close(logits.grad, arrays["grad_logit"], rtol=1e-8, atol=1e-14)
    labelled = cross_entropy(logits, labels, "labelled_pixels")
    assert labelled.item() == pytest.approx(vector.expected["torch_default"], rel=1e-9)


@pytest.mark.parametrize("mean", ["all_pixels", "labelled_pixels"])
def test_unlabelled_pixels_change_no_gradient(mean: str) -> None:
    labels = torch.randint(0, 3, (2, 8, 8))
    labels[0, :4] = IGNORE_INDEX
    logits = torch.randn(2, 3, 8, 8, requires_grad=True)
    cross_entropy(logits, labels, mean).backward()
    assert logits.grad is not None
    assert (logits.grad[0, :, :4] == 0).all()
    assert (logits.grad[1] != 0).any()


@pytest.mark.parametrize("mean", ["all_pixels", "labelled_pixels"])
def test_a_crop_without_any_label_costs_nothing(mean: str) -> None:
    labels = torch.full((1, 4, 4), IGNORE_INDEX)
    assert cross_entropy(torch.randn(1, 3, 4, 4), labels, mean).item() == 0


def _batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    image, labels = torch.randint(0, 256, (2, 3, 48, 64)), torch.randint(0, 3, (2, 48, 64))
    return image.to(torch.uint8), labels.to(torch.uint8), torch.tensor([NEUTRAL, NEUTRAL])


def _distillation() -> tuple[DistillationObjective, Segmenter]:
    student, teacher = toy_segmenter()[0], toy_segmenter()[0]
    method = GDD(GDD.Params(), student, teacher, 1)
    return DistillationObjective(student, teacher, {"gdd": method}, {"gdd": 10.0}, TOY_TASK), teacher


def test_total_is_the_sum_of_the_terms() -> None:
    loss = _distillation()[0].train()(*_batch())
    assert set(loss.terms) == {"task", "auxiliary", "distill"}
    assert loss.total.item() == pytest.approx(sum(term.item() for term in loss.terms.values()), rel=1e-6)


def test_the_teacher_stays_frozen() -> None:
    objective, teacher = _distillation()
    before = {name: tensor.clone() for name, tensor in teacher.state_dict().items()}
    objective.train()(*_batch()).total.backward()
    assert not teacher.training
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in teacher.state_dict().items())


def test_the_auxiliary_head_counts_where_there_is_one() -> None:
    objective = SupervisedObjective(toy_segmenter()[0], TOY_TASK)
    assert "auxiliary" in objective(*_batch()).terms
    objective.network.auxiliary_head = None
    assert "auxiliary" not in objective(*_batch()).terms


def test_the_record_keeps_what_the_loss_does_not_use() -> None:
    assert SegmentationOutput._fields == ("logits", "auxiliary_logits", "head_features", "backbone_features")
