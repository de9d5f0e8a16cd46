"""IFVD: the authors' numbers, their loop over classes, and unlabelled cells."""

import pytest
import torch
import torch.nn.functional as F

from pipeline.distillation.ifvd import similarity_to_own_class, variation_distance
from pipeline.distillation.method import labels_at_cells
from tests.distillation.agreement import assert_agrees
from tests.vectors.reading import Vector


@pytest.mark.vectors("ifvd")
def test_agrees_with_the_authors(vector: Vector) -> None:
    classes = vector.hyper["num_classes"]

    def loss(arrays: dict[str, torch.Tensor]) -> torch.Tensor:
        labels = labels_at_cells(arrays["label"], *arrays["feat_s"].shape[-2:])
        assert torch.equal(labels, arrays["label_at_feature_size"])
        return variation_distance(arrays["feat_s"], arrays["feat_t"], labels, classes)

    assert_agrees(vector, loss)


def test_is_the_loop_over_cells() -> None:
    torch.manual_seed(0)
    features = torch.randn(1, 4, 2, 3, dtype=torch.float64)
    labels = torch.tensor([[[0, 0, 2], [255, 2, 2]]])
    flat, ids = features[0].flatten(1), labels.flatten().tolist()
    expected = []
    for i, label in enumerate(ids):
        members = [j for j, other in enumerate(ids) if other == label]
        center = flat[:, members].sum(dim=1) / (len(members) + 1e-6)
        expected.append(1.0 if label == 255 else F.cosine_similarity(flat[:, i], center, dim=0).item())
    assert similarity_to_own_class(features, labels, 3)[0].tolist() == pytest.approx(expected, rel=1e-9)


def test_labels_at_cells_are_those_at_their_upper_left_corners() -> None:
    labels = torch.arange(36).reshape(1, 6, 6) % 7
    assert torch.equal(labels_at_cells(labels, 3, 2), labels[:, ::2, ::3])
