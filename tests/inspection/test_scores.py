import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data.boundaries import disc_of, near_boundary
from pipeline.data.classes import IGNORE_INDEX
from pipeline.inspection.scores import boundary_error, hardness, positions
from pipeline.inspection.teacher import relative_entropy


def scene(seed: int, height: int = 13, width: int = 17) -> np.ndarray:
    """Train ids in patches of 3 classes, some of them unlabelled."""
    random = np.random.default_rng(seed)
    patches = random.choice([0, 1, 2, IGNORE_INDEX], size=(-(-height // 4), -(-width // 4)), p=[0.4, 0.2, 0.2, 0.2])
    return np.kron(patches, np.ones((4, 4)))[:height, :width].astype(np.uint8)


def near_by_definition(labels: np.ndarray, pixels: int) -> np.ndarray:
    near = np.zeros(labels.shape, dtype=bool)
    places = list(np.ndindex(*labels.shape))
    for y, x in places:
        near[y, x] = labels[y, x] != IGNORE_INDEX and any(
            labels[v, u] not in (labels[y, x], IGNORE_INDEX) and (v - y) ** 2 + (u - x) ** 2 <= pixels**2
            for v, u in places
        )
    return near


@pytest.mark.parametrize("pixels", [1, 2, 3, 5])
@pytest.mark.parametrize("seed", range(4))
def test_a_boundary_is_where_another_label_is_near(seed: int, pixels: int) -> None:
    labels = scene(seed)
    expected = near_by_definition(labels, pixels)
    assert expected.any()
    assert (near_boundary(labels, pixels) == expected).all()


def test_the_last_class_has_boundaries_too() -> None:
    labels = np.array([[0, 0, 254, 254, IGNORE_INDEX, 0]], dtype=np.uint8)
    assert near_boundary(labels, 1).tolist() == [[False, True, True, False, False, False]]


@pytest.mark.parametrize("pixels", [1, 3])
def test_boundary_error_counts_wrong_pixels_of_the_band(pixels: int) -> None:
    labels = scene(0)
    prediction = np.random.default_rng(1).integers(0, 3, labels.shape).astype(np.uint8)
    band = near_by_definition(labels, pixels)
    wrong = sum(int(prediction[y, x] != labels[y, x]) for y, x in zip(*np.nonzero(band), strict=True))
    assert boundary_error(prediction, labels, pixels) == pytest.approx(wrong / band.sum())
    assert boundary_error(labels, labels, pixels) == 0.0
    far = np.where(band, labels, prediction)  # what is wrong elsewhere does not count
    assert boundary_error(far, labels, pixels) == 0.0


def test_without_a_boundary_there_is_no_boundary_error() -> None:
    labels = np.full((6, 8), 1, dtype=np.uint8)
    labels[:, 4:] = IGNORE_INDEX  # makes none
    assert boundary_error(np.zeros_like(labels), labels, 3) is None
    assert boundary_error(labels, np.full_like(labels, IGNORE_INDEX), 3) is None


def test_a_disc() -> None:
    assert disc_of(1).tolist() == [[0, 1, 0], [1, 1, 1], [0, 1, 0]]
    assert disc_of(3).sum() == 29


def test_entropy_is_that_of_the_softmax_in_units_of_its_largest() -> None:
    torch.manual_seed(0)
    logits = 3 * torch.randn(4, 5, 6)
    probabilities = torch.exp(logits.double()) / torch.exp(logits.double()).sum(0)
    expected = -(probabilities * torch.log2(probabilities)).sum(0) / 2
    assert torch.allclose(relative_entropy(logits).double(), expected, atol=1e-6)


def test_entropy_has_no_nan_where_a_network_is_sure() -> None:
    logits = torch.tensor([[[1e4, 0.0]], [[0.0, 0.0]]])
    assert relative_entropy(logits).tolist() == [[0.0, 1.0]]


def test_hardness_is_of_labelled_pixels_or_of_all() -> None:
    entropy = np.array([[0.2, 0.4], [0.9, 1.0]], dtype=np.float32)
    labels = np.array([[0, 1], [IGNORE_INDEX, IGNORE_INDEX]], dtype=np.uint8)
    assert hardness(entropy, labels) == pytest.approx(0.3)
    assert hardness(entropy, np.full_like(labels, IGNORE_INDEX)) == pytest.approx(0.625)


@given(st.integers(0, 1000), st.integers(2, 12), st.integers(1, 6))
def test_positions_keep_the_first_two_components(seed: int, samples: int, channels: int) -> None:
    embeddings = np.random.default_rng(seed).normal(size=(samples, channels)).astype(np.float32)
    plane = positions(embeddings)
    assert plane.shape == (samples, 2)
    assert plane.mean(axis=0) == pytest.approx(np.zeros(2), abs=1e-6)
    assert (plane**2).sum(axis=1).mean() == pytest.approx(1.0)
    centered = embeddings.astype(float) - embeddings.astype(float).mean(axis=0)
    variances = np.sort(np.linalg.eigvalsh(centered.T @ centered))[::-1][:2]
    shares = (plane**2).sum(axis=0) / (plane**2).sum()
    assert shares[: len(variances)] == pytest.approx(np.abs(variances) / np.abs(variances).sum(), abs=1e-6)


@pytest.mark.parametrize("first", [1, -1])
@pytest.mark.parametrize("second", [1, -1])
def test_a_component_points_where_its_largest_loading_does(first: int, second: int) -> None:
    embeddings = np.random.default_rng(0).normal(size=(20, 5)) * [1, 9 * first, 1, 4 * second, 1]
    plane = positions(embeddings)
    assert np.corrcoef(plane[:, 0], embeddings[:, 1])[0, 1] > 0.9
    assert np.corrcoef(plane[:, 1], embeddings[:, 3])[0, 1] > 0.9


@pytest.mark.parametrize("samples", [1, 4])
def test_samples_that_are_alike_lie_in_one_place(samples: int) -> None:
    embedding = np.random.default_rng(0).normal(size=(1, 30)).astype(np.float32)
    assert positions(np.repeat(embedding, samples, axis=0)).tolist() == [[0.0, 0.0]] * samples
