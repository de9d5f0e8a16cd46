"""Af-DCD: the authors' numbers, its definition, and what patches and groups are."""

from itertools import product
from math import exp, log

import pytest
import torch
from torch import Tensor, nn

from models.segmenter import SegmentationOutput
from pipeline.distillation import afdcd as module
from pipeline.distillation.afdcd import AfDCD, group_contrast
from pipeline.errors import ParamsError
from tests.distillation.agreement import Arrays, assert_agrees, assert_gradient, in_single_precision
from tests.distillation.outputs import channels, make, random_labels, random_output
from tests.raising import raises
from tests.vectors.reading import Vector, weights_under


def _method(vector: Vector, arrays: Arrays) -> AfDCD:
    student, teacher = (channels(backbone=arrays[name].shape[1]) for name in ("feat_s", "feat_t"))
    hyper = vector.hyper
    method = make(
        AfDCD, student, teacher, temperature=hyper["tau"], groups=hyper["groups"], pool=hyper["pool"],
        patch=hyper["patch"][0], hidden_share=hyper["mask_ratio"], feature_weight=hyper["weight_feature"],
        contrast_weight=hyper["weight_contrastive"], enhanced=hyper["enhanced_projector"],
    ).to(arrays["feat_s"].dtype)  # fmt: skip
    weights = weights_under(arrays, "w.").items()
    method.load_state_dict({name.replace("projector.", "generator."): weight for name, weight in weights})
    return method


def _total(method: AfDCD, arrays: Arrays) -> Tensor:
    feature, contrast = method.terms(arrays["feat_s"], arrays["feat_t"], arrays["uniform"])
    return method.params.feature_weight * feature + method.params.contrast_weight * contrast


@pytest.mark.vectors("afdcd")
def test_agrees_with_the_authors(vector: Vector) -> None:
    assert_agrees(vector, lambda arrays: _total(_method(vector, arrays), arrays), expected="total")


@pytest.mark.vectors("afdcd")
def test_agrees_with_the_authors_in_each_term(vector: Vector) -> None:
    for arrays, relative in ((vector.arrays(), 1e-8), (in_single_precision(vector.arrays()), 1e-4)):
        terms = _method(vector, arrays).terms(arrays["feat_s"], arrays["feat_t"], arrays["uniform"])
        expected = [vector.expected[name] for name in ("feature", "contrastive")]
        assert [term.item() for term in terms] == pytest.approx(expected, rel=relative)


@pytest.mark.vectors("afdcd")
def test_agrees_with_the_authors_in_every_weights_gradient(vector: Vector) -> None:
    arrays = vector.arrays()
    method = _method(vector, arrays)
    _total(method, arrays).backward()
    theirs = weights_under(arrays, "grad_w.")
    assert len(theirs) == len(list(method.parameters()))
    for name, parameter in method.named_parameters():
        assert_gradient(parameter.grad, theirs[name.replace("generator.", "projector.")])


def _contrast_in_loops(student: Tensor, teacher: Tensor, groups: int, patch: int, temperature: float) -> float:
    images, width, high, wide = student.shape
    each, down, right = width // groups, high // patch, wide // patch

    def similarity(image: int, group: int, cell: tuple[int, int], other_group: int, other: tuple[int, int]) -> float:
        return -sum(
            abs(student[image, group * each + c, *cell].item() - teacher[image, other_group * each + c, *other].item())
            for c in range(each)
        ) / temperature  # fmt: skip

    total = 0.0
    for image, top, left in product(range(images), range(down), range(right)):
        cells = [(top * patch + y, left * patch + x) for y, x in product(range(patch), repeat=2)]
        for cell, group in product(cells, range(groups)):
            found = similarity(image, group, cell, group, cell)
            others = [
                similarity(image, group, cell, another, other)
                for other, another in product(cells, range(groups)) if another != group
            ]  # fmt: skip
            total -= log(exp(found) / (exp(found) + sum(map(exp, others))))
    return total / (images * down * patch * right * patch)


def test_matches_its_definition() -> None:
    """Five by six cells, in patches of two: the last row is cut off."""
    torch.manual_seed(0)
    student, teacher = torch.randn(2, 2, 6, 5, 6, dtype=torch.float64)
    expected = _contrast_in_loops(student, teacher, groups=3, patch=2, temperature=0.7)
    assert group_contrast(student, teacher, 3, 2, 0.7).item() == pytest.approx(expected, rel=1e-10)


def test_the_enhanced_generator_matches_its_definition() -> None:
    torch.manual_seed(0)
    method = make(AfDCD, channels(3), channels(8), groups=2).double()
    student = torch.randn(2, 3, 5, 6, dtype=torch.float64)
    kept = (torch.rand(2, 1, 5, 6) < 0.5).double()
    plain = [nn.Conv2d(8, 8, 3, padding=1).double() for _ in range(4)]
    first, second, behind_first, behind_second = plain
    method.generator[0].load_state_dict(first.state_dict())
    for name in ("weight", "bias"):
        both = [getattr(conv, name) for conv in (second, behind_first)]
        method.generator[2].load_state_dict({name: torch.cat(both)}, strict=False)
    assert method.deeper is not None
    method.deeper.load_state_dict(behind_second.state_dict())
    once = first(method.align(student) * kept).relu()
    expected = (behind_first(once) + behind_second(second(once).relu())) / 2
    torch.testing.assert_close(method.rebuild(student, kept), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("enhanced", "convolutions"), [(True, 4), (False, 2)])
def test_the_enhanced_generator_has_twice_the_convolutions(enhanced: bool, convolutions: int) -> None:
    method = make(AfDCD, channels(4), channels(16), enhanced=enhanced)
    assert sum(p.numel() for p in method.parameters()) == 16 * (4 + 1) + convolutions * 16 * (9 * 16 + 1)


def _maps(*shape: int) -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True), torch.randn(*shape, dtype=torch.float64)


def test_patches_groups_and_cells_have_no_order() -> None:
    student, teacher = _maps(2, 6, 4, 4)
    plain = group_contrast(student, teacher, 3, 2, 0.5).item()
    patches, cells, groups = [2, 3, 0, 1], [1, 0, 3, 2], [4, 5, 0, 1, 2, 3]
    for change in (lambda m: m[..., patches, :], lambda m: m[..., cells], lambda m: m[:, groups], lambda m: m + 3):
        assert group_contrast(change(student), change(teacher), 3, 2, 0.5).item() == pytest.approx(plain, rel=1e-10)
    split = [0, 2, 1, 3, 4, 5]  # channels that change their groups
    assert group_contrast(student[:, split], teacher[:, split], 3, 2, 0.5).item() != pytest.approx(plain, rel=1e-3)


def test_other_patches_are_not_compared() -> None:
    student, teacher = _maps(1, 4, 4, 4)
    alone = group_contrast(student[..., :2, :2], teacher[..., :2, :2], 2, 2, 0.5)
    (expected,) = torch.autograd.grad(alone, student)
    changed = teacher.clone()
    changed[..., 2:, :] += 5
    (found,) = torch.autograd.grad(group_contrast(student, changed, 2, 2, 0.5), student)
    torch.testing.assert_close(4 * found[..., :2, :2], expected[..., :2, :2])


def test_other_cells_of_the_own_group_are_not_compared() -> None:
    student, teacher = _maps(1, 64, 2, 2)
    changed = teacher.clone()
    changed[0, :32, 1, 1] += 0.5  # the first of two groups in the last of four cells
    before, after = (
        torch.autograd.grad(group_contrast(student, theirs, 2, 2, 5.0), student)[0] for theirs in (teacher, changed)
    )
    moved = (after - before).abs().view(2, 32, 4).amax(dim=1) > 1e-6
    assert moved.tolist() == [[False, False, False, True], [True, True, True, True]]


def test_part_by_part_it_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    student, teacher = _maps(2, 4, 6, 4)
    whole = group_contrast(student, teacher, 2, 2, 0.5)
    monkeypatch.setattr(module, "VALUES_AT_ONCE", 5 * (2 * 4) ** 2 * 2)  # five patches of twelve
    parts = group_contrast(student, teacher, 2, 2, 0.5)
    torch.testing.assert_close(parts, whole, rtol=1e-12, atol=0)
    gradients = [torch.autograd.grad(loss, student)[0] for loss in (parts, whole)]
    torch.testing.assert_close(*gradients, rtol=1e-12, atol=1e-12)


def test_no_difference_of_two_vectors_is_kept() -> None:
    """Memory grows with the pairs of vectors in a patch, not with their channels too."""
    student, teacher = torch.randn(2, 64, 8, 8, requires_grad=True), torch.randn(2, 64, 8, 8)
    kept: list[int] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
        group_contrast(student, teacher, groups=4, patch=4, temperature=0.07)
    pairs = 8 * (4 * 16) ** 2  # 16 channels each
    assert max(kept) == pairs


def test_a_rebuilt_map_that_is_the_teachers_costs_least() -> None:
    student, teacher = _maps(2, 64, 8, 8)
    at_the_teacher = group_contrast(teacher, teacher, 4, 4, 0.07).item()
    assert 0 <= at_the_teacher < 1e-9 < group_contrast(student, teacher, 4, 4, 0.07).item()


def test_weights_are_of_their_terms() -> None:
    student, teacher, labels = random_output(4, 2, 4, 4), random_output(8, 2, 4, 4), random_labels(4, 4)
    losses = []
    for feature, contrast in ((1.0, 0.0), (0.0, 1.0), (2.0, 3.0)):
        torch.manual_seed(0)
        method = make(
            AfDCD, channels(4), channels(8), groups=4, patch=2, pool=2,
            feature_weight=feature, contrast_weight=contrast,
        )  # fmt: skip
        losses.append(method(student, teacher, labels).item())
    assert min(losses) > 0
    assert losses[2] == pytest.approx(2 * losses[0] + 3 * losses[1], rel=1e-5)


@pytest.mark.parametrize(("pool", "patch", "side"), [(4, 4, 15), (0, 4, 3), (3, 2, 5)])
def test_a_map_smaller_than_a_patch_is_refused(pool: int, patch: int, side: int) -> None:
    method = make(AfDCD, groups=2, pool=pool, patch=patch)
    for height, width in ((side, 20), (20, side)):
        maps, labels = random_output(4, 4, height, width), random_labels(height, width)
        with raises(ParamsError, "methods.afdcd.pool", "methods.afdcd.patch"):
            method(maps, maps, labels)
    maps = random_output(4, 4, side + 1, side + 1)
    assert method(maps, maps, random_labels(side + 1, side + 1)).isfinite()


def test_groups_must_divide_the_teachers_channels() -> None:
    with raises(ParamsError, "methods.afdcd.groups"):
        make(AfDCD, channels(16), channels(24))
    make(AfDCD, channels(24), channels(16))


def test_equal_channels_need_no_alignment() -> None:
    assert not list(make(AfDCD, channels(16), channels(16)).align.parameters())


def test_the_contrast_is_in_single_precision_in_half() -> None:
    torch.manual_seed(0)
    method, student = make(AfDCD, channels(32), channels(32), pool=0), torch.randn(2, 32, 8, 8).bfloat16()
    output = SegmentationOutput(student, None, student, student)
    seen: list[torch.dtype] = []
    with pytest.MonkeyPatch.context() as patch, torch.autocast("cpu", dtype=torch.bfloat16):
        cdist = torch.cdist
        patch.setattr(torch, "cdist", lambda a, b, p: seen.extend((a.dtype, b.dtype)) or cdist(a, b, p=p))
        loss = method(output, output, random_labels(8, 8))
    assert set(seen) == {torch.float32} == {loss.dtype}
