import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data.classes import IGNORE_INDEX
from pipeline.inspection.records import Mistake
from pipeline.inspection.scores import find_mistakes, mistake_score
from pipeline.inspection.teacher import TeacherOutput
from pipeline.params.deployment import InspectionParams

NAMES = ["road", "car", "tree"]


def output_of(
    prediction: np.ndarray, confidence: float | np.ndarray = 0.9, label_probability: float | np.ndarray = 0.05
) -> TeacherOutput:
    return TeacherOutput(
        prediction,
        np.full(prediction.shape, confidence, dtype=np.float32),
        np.full(prediction.shape, label_probability, dtype=np.float32),
        entropy=np.zeros(prediction.shape, dtype=np.float32),
        embedding=np.ones(1, dtype=np.float32),
    )


def found(
    output: TeacherOutput, labels: np.ndarray, boundary_pixels: int = 2, min_region_pixels: int = 20
) -> list[Mistake]:
    params = InspectionParams(min_confidence=0.8, min_region_pixels=min_region_pixels, boundary_pixels=boundary_pixels)
    return find_mistakes(output, labels, NAMES, params)


def field(height: int = 40, width: int = 60) -> np.ndarray:
    return np.zeros((height, width), dtype=np.uint8)


def test_a_region_filled_with_the_wrong_class() -> None:
    labels, prediction = field(), field()
    labels[10:20, 30:42] = 1  # a "car" that the teacher takes for road
    (mistake,) = found(output_of(prediction), labels)
    # Two pixels from each side are the outline's: 6 x 8 remain.
    assert (mistake.label, mistake.prediction, mistake.pixels) == ("car", "road", 120)
    assert mistake.box == (30, 10, 12, 10)
    assert mistake.score == pytest.approx(48 * 0.85 / 2400)
    assert mistake_score([mistake], labels) == mistake.score


def test_a_wrong_outline_is_no_mistake_however_long() -> None:
    labels, prediction = field(20, 400), field(20, 400)
    labels[10:], prediction[12:] = 1, 1
    assert found(output_of(prediction), labels) == []
    assert mistake_score([], labels) == 0.0
    prediction[:] = 0
    prediction[16:] = 1  # six rows: that is more than an outline
    assert [mistake.pixels for mistake in found(output_of(prediction), labels)] == [2400]


def test_a_thin_region_stays_none_beside_a_thick_one() -> None:
    labels = field(40, 400)
    labels[5:15, 5:15], labels[30:33] = 1, 1
    assert [mistake.pixels for mistake in found(output_of(field(40, 400)), labels)] == [100]


def test_the_edge_of_the_image_is_no_outline() -> None:
    labels, prediction = field(), field()
    labels[:6, :6] = 1
    (mistake,) = found(output_of(prediction), labels)
    assert mistake.score == pytest.approx(16 * 0.85 / 2400)


def test_a_teacher_that_is_not_sure_says_nothing() -> None:
    labels = np.full((40, 60), 1, dtype=np.uint8)
    assert found(output_of(field(), confidence=0.79), labels) == []
    assert found(output_of(field(), confidence=0.81), labels) != []


def test_unsure_pixels_inside_count_nothing_and_cut_nothing_out() -> None:
    labels, output = np.full((40, 60), 1, dtype=np.uint8), output_of(field())
    output.confidence[20, ::7] = 0.5
    (mistake,) = found(output, labels)
    unsure = len(range(0, 60, 7))
    assert mistake.pixels == 2400 - unsure
    assert mistake.score == pytest.approx((2400 - unsure) * 0.85 / 2400)


def test_each_pair_of_classes_is_a_region_of_its_own() -> None:
    labels, prediction = np.full((40, 60), 2, dtype=np.uint8), field()
    prediction[:, 40:] = 1
    mistakes = found(output_of(prediction), labels)
    assert [(m.label, m.prediction, m.pixels) for m in mistakes] == [("tree", "road", 1600), ("tree", "car", 800)]


def test_corners_connect() -> None:
    labels = field()
    labels[5:15, 5:15] = labels[15:25, 15:25] = 1
    assert [mistake.pixels for mistake in found(output_of(field()), labels)] == [200]
    labels[15:25, 15] = labels[15, 15:25] = 0
    assert [mistake.pixels for mistake in found(output_of(field()), labels)] == [100, 81]


def test_small_regions_are_left_out() -> None:
    labels = field()
    labels[4:11, 4:11] = 1
    assert [mistake.pixels for mistake in found(output_of(field()), labels, min_region_pixels=49)] == [49]
    assert found(output_of(field()), labels, min_region_pixels=50) == []


def test_nothing_is_mislabelled_where_nothing_is_labelled() -> None:
    labels = field()
    labels[:, 20:] = IGNORE_INDEX
    assert found(output_of(field()), labels) == []
    assert mistake_score([], np.full_like(labels, IGNORE_INDEX)) is None
    labels[:20, :20] = 1
    (mistake,) = found(output_of(field()), labels)
    assert mistake.score == pytest.approx(18 * 18 * 0.85 / 800)  # of the labelled pixels


@given(st.integers(0, 10_000))
def test_invariants(seed: int) -> None:
    random = np.random.default_rng(seed)
    labels = np.kron(random.choice([0, 1, 2, IGNORE_INDEX], size=(4, 6)), np.ones((8, 8))).astype(np.uint8)
    prediction = np.kron(random.integers(0, 3, size=(4, 6)), np.ones((8, 8))).astype(np.uint8)
    confidence = random.uniform(0.7, 1.0, labels.shape).astype(np.float32)
    output = output_of(prediction, confidence, (1 - confidence) * random.uniform(0, 1, labels.shape).astype(np.float32))
    mistakes = found(output, labels)
    sure_and_wrong = (labels != IGNORE_INDEX) & (labels != prediction) & (confidence >= 0.8)
    assert sum(mistake.pixels for mistake in mistakes) <= sure_and_wrong.sum()
    assert 0 <= sum(mistake.score for mistake in mistakes) <= 1
    assert [mistake.score for mistake in mistakes] == sorted((m.score for m in mistakes), reverse=True)
    for mistake in mistakes:
        left, top, width, height = mistake.box
        inside = (slice(top, top + height), slice(left, left + width))
        pair = (labels[inside] == NAMES.index(mistake.label)) & (prediction[inside] == NAMES.index(mistake.prediction))
        assert 20 <= mistake.pixels <= (pair & sure_and_wrong[inside]).sum()
        assert mistake.label != mistake.prediction
    # A teacher that agrees with the label finds nothing; sides do not matter.
    assert found(output._replace(prediction=labels), labels) == []
    mirror = output_of(*(values[:, ::-1] for values in output[:3]))
    mirrored = found(mirror, labels[:, ::-1])
    assert sorted((m.pixels, round(m.score, 9)) for m in mirrored) == sorted(
        (m.pixels, round(m.score, 9)) for m in mistakes
    )
