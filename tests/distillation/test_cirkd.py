"""CIRKD: the authors' numbers, queues included; groups of images; and whose cells are kept."""

import pytest
import torch
from torch import Tensor

from pipeline.data.classes import IGNORE_INDEX
from pipeline.distillation.cirkd import CIRKDMemory, CIRKDMiniBatch, cross_image_divergence
from pipeline.distillation.method import labels_at_cells
from pipeline.errors import ParamsError
from tests.distillation.agreement import Arrays, assert_agrees, assert_gradient, in_single_precision
from tests.distillation.outputs import channels, make, random_labels, random_output
from tests.raising import raises
from tests.vectors.reading import Vector

SHORT = {"pixel_memory": 8, "region_memory": 4, "pixel_contrast": 4, "region_contrast": 2, "cells_per_class": 2}


@pytest.mark.vectors("cirkd_minibatch")
def test_the_mini_batch_agrees_with_the_authors(vector: Vector) -> None:
    temperature = vector.hyper["temperature"]
    assert_agrees(vector, lambda a: cross_image_divergence(a["feat_s"], a["feat_t"], temperature))


def test_groups_are_compared_each_for_itself() -> None:
    student, teacher = random_output(4, 3, 3, 4, images=5), random_output(4, 6, 3, 4, images=5)
    s, t = student.head_features, teacher.head_features
    whole = make(CIRKDMiniBatch, group=2)(student, teacher, random_labels(24, 32, images=5))
    parts = [cross_image_divergence(s[i : i + 2], t[i : i + 2], 0.1) * len(s[i : i + 2]) for i in (0, 2, 4)]
    assert whole.item() == pytest.approx(torch.stack(parts).sum().item() / 5, rel=1e-5)


def _memory(vector: Vector, arrays: Arrays) -> tuple[CIRKDMemory, tuple[Tensor, Tensor, Tensor]]:
    hyper, student = vector.hyper, arrays["feat_s"]
    assert hyper["contrast_kd_temperature"] == 1.0
    network = channels(head=student.shape[1])
    network.classes = hyper["num_classes"]
    method = make(
        CIRKDMemory, network, channels(head=arrays["feat_t"].shape[1]), temperature=hyper["contrast_temperature"],
        pixel_memory=hyper["pixel_memory_size"], region_memory=hyper["region_memory_size"],
        pixel_contrast=hyper["pixel_contrast_size"], region_contrast=hyper["region_contrast_size"],
        cells_per_class=hyper["pixel_update_freq"], as_released=True,
    ).to(student.dtype)  # fmt: skip
    state = {name.removeprefix("w.project_head."): a for name, a in arrays.items() if name.startswith("w.")}
    missing, unexpected = method.project.load_state_dict(state, strict=False)
    assert not unexpected
    assert all("running" in name or "num_batches" in name for name in missing)
    method.pixels.copy_(arrays["pixel_queue_before"])
    method.regions.copy_(arrays["segment_queue_before"])
    method.pixel_position.copy_(arrays["pixel_ptr_before"])
    method.region_position.copy_(arrays["segment_ptr_before"])
    labels = labels_at_cells(arrays["label"], *arrays["feat_t"].shape[-2:]).flatten(1)
    ranks = torch.zeros(labels.shape, dtype=student.dtype)
    orders = iter(arrays["enqueue_perms"].split(arrays["enqueue_perm_lengths"].tolist()))
    for image, of_image in enumerate(labels):
        for label in of_image.unique().tolist():
            if label != IGNORE_INDEX:
                order = next(orders)
                ranks[image, (of_image == label).nonzero()[:, 0][order]] = -torch.arange(len(order)).to(ranks)
    return method, (arrays["pixel_index"], arrays["region_index"], ranks)


def _terms(vector: Vector, arrays: Arrays) -> tuple[CIRKDMemory, Tensor, Tensor]:
    method, draws = _memory(vector, arrays)
    labels = labels_at_cells(arrays["label"], *arrays["feat_t"].shape[-2:])
    pixel, region = method.terms(arrays["feat_s"], arrays["feat_t"], labels, *draws)
    return method, pixel, region


@pytest.mark.vectors("cirkd_memory")
def test_the_memory_agrees_with_the_authors(vector: Vector) -> None:
    arrays = vector.arrays()
    arrays["feat_s"].requires_grad_()
    method, pixel, region = _terms(vector, arrays)
    assert pixel.item() == pytest.approx(vector.expected["loss_pixel"], rel=1e-8)
    assert region.item() == pytest.approx(vector.expected["loss_region"], rel=1e-8)
    (0.1 * pixel + 0.1 * region).backward()
    assert_gradient(arrays["feat_s"].grad, arrays["grad_feat_s"])
    for ours, theirs in (("pixels", "pixel_queue"), ("regions", "segment_queue")):
        torch.testing.assert_close(getattr(method, ours), arrays[f"{theirs}_after"], rtol=1e-10, atol=1e-12)
    assert torch.equal(method.pixel_position, arrays["pixel_ptr_after"])
    assert torch.equal(method.region_position, arrays["segment_ptr_after"])


@pytest.mark.vectors("cirkd_memory")
def test_the_memory_agrees_in_single_precision(vector: Vector) -> None:
    _, pixel, region = _terms(vector, in_single_precision(vector.arrays()))
    assert pixel.item() == pytest.approx(vector.expected["loss_pixel"], rel=1e-4)
    assert region.item() == pytest.approx(vector.expected["loss_region"], rel=1e-4)


def test_the_memory_is_drawn_from_as_the_authors_trainer_does() -> None:
    network = channels(head=4)
    network.classes = 3
    method = make(CIRKDMemory, network, **SHORT | {"pixel_contrast": 7, "region_contrast": 2})
    pixels, regions, _ = method.select(random_labels(4, 4))
    assert (len(pixels), len(regions)) == (7 // 3 + 1, 2 // 3 + 1)  # of each class
    with raises(ParamsError, "methods.cirkd_memory", "region_memory 4", " 5 "):
        make(CIRKDMemory, network, **SHORT | {"region_contrast": 12})


@pytest.mark.parametrize("as_released", [True, False])
def test_the_class_queue_holds_cells_of_the_class_unless_as_released(as_released: bool) -> None:
    torch.manual_seed(0)
    method = make(CIRKDMemory, teacher=channels(head=2), **SHORT, as_released=as_released)
    teacher = torch.zeros(1, 2, 2, 2)
    teacher[0, 0, 0], teacher[0, 1, 1] = 1.0, 1.0  # the upper row points along one axis, the lower along the other
    labels = torch.tensor([[[0, 0], [1, 1]]])
    method.terms(torch.randn(1, 4, 2, 2), teacher, labels, *method.select(labels))
    along_its_axis = method.pixels[1, :2, 1].tolist()
    assert along_its_axis == ([0.0, 0.0] if as_released else [1.0, 1.0])
    assert torch.allclose(method.regions[1, 0], torch.tensor([0.0, 1.0]))


def test_autocast_does_not_round_what_is_remembered() -> None:
    methods = []
    for enabled in (False, True):
        torch.manual_seed(0)
        methods.append(method := make(CIRKDMemory, teacher=channels(head=6), **SHORT))
        labels, student, teacher = random_labels(3, 4), torch.randn(2, 4, 3, 4), torch.randn(2, 6, 3, 4)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            method.terms(student, teacher, labels, *method.select(labels))
    torch.testing.assert_close(methods[1].regions, methods[0].regions, rtol=0, atol=1e-6)


def test_a_batch_without_labels_costs_nothing_and_keeps_the_queues() -> None:
    method = make(CIRKDMemory, teacher=channels(head=6), **SHORT)
    before = method.pixels.clone()
    labels = torch.full((2, 3, 4), 255)
    value = method(random_output(5, 4, 3, 4), random_output(5, 6, 3, 4), labels)
    assert value.item() == 0
    assert torch.equal(method.pixels, before)
