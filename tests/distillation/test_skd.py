"""SKD: the authors' numbers for both terms, and what they depend on."""

import pytest
import torch

from pipeline.distillation.skd import similarity_distance, soft_cross_entropy
from tests.distillation.agreement import assert_agrees
from tests.vectors.reading import Vector


@pytest.mark.vectors("skd_pair_cirkd")
def test_the_pairs_agree_with_the_authors(vector: Vector) -> None:
    pool = vector.hyper["pool"]
    assert_agrees(vector, lambda a: similarity_distance(a["feat_s"], a["feat_t"], pool))


@pytest.mark.vectors("skd_pixelwise")
def test_the_cells_agree_with_the_authors(vector: Vector) -> None:
    assert_agrees(vector, lambda a: soft_cross_entropy(a["logit_s"], a["logit_t"]), student="logit_s")


def test_pairs_do_not_see_a_rotation_of_the_channels() -> None:
    torch.manual_seed(0)
    features = torch.randn(2, 4, 6, 6, dtype=torch.float64)
    rotation = torch.linalg.qr(torch.randn(4, 4, dtype=torch.float64)).Q
    rotated = torch.einsum("dc,nchw->ndhw", rotation, features)
    assert similarity_distance(rotated, features, pool=1).item() == pytest.approx(0, abs=1e-12)


def test_a_map_that_the_pool_does_not_divide_keeps_its_border() -> None:
    student, teacher = torch.ones(1, 2, 5, 5), torch.ones(1, 3, 5, 5)
    student[0, 0, 4, 4] = 9.0
    assert similarity_distance(student, teacher, pool=2).item() > 0


def test_the_cells_grow_with_the_batch() -> None:
    student, teacher = torch.randn(1, 3, 4, 4), torch.randn(1, 3, 4, 4)
    twice = soft_cross_entropy(torch.cat([student] * 2), torch.cat([teacher] * 2))
    assert twice.item() == pytest.approx(2 * soft_cross_entropy(student, teacher).item(), rel=1e-5)
