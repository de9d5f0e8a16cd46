"""Which images are shown, and that what is shown is what was predicted."""

import io

import numpy as np
import pytest
from PIL import Image

from pipeline.data.images import read_labels, read_mask
from pipeline.errors import ArtifactError
from pipeline.reporting.inputs import Inputs, load
from pipeline.reporting.pictures import MAX_WIDTH, Panel, Row, choose_examples, encode_panel, example_rows
from tests.raising import raises
from tests.reporting.conftest import CLASSES, FakeProfile

SCORES = {"a": 0.9, "b": 0.1, "c": 0.5, "d": None, "e": 0.7, "f": 0.3}


def test_best_median_and_worst() -> None:
    assert choose_examples(SCORES, 1) == [("best", "a"), ("median", "c"), ("worst", "b")]


@pytest.mark.parametrize("examples", [1, 2, 3, 7])
@pytest.mark.parametrize("images", range(9))
def test_no_image_is_shown_twice(images: int, examples: int) -> None:
    scores = {f"image{i}": float(i) for i in range(images)}
    chosen = choose_examples(scores, examples)
    ids = [sample_id for _, sample_id in chosen]
    assert len(set(ids)) == len(ids) == min(images, 3 * examples)
    assert ids == sorted(ids, key=lambda i: scores[i], reverse=True)


def test_images_without_score_are_passed_over() -> None:
    assert choose_examples({"a": None}, 2) == []


def _rows(inputs: Inputs) -> list[Row]:
    networks = {"teacher": inputs.teacher, **{name: inputs.runs[name] for name in ("pspnet_r18", "pspnet_r18_gdd")}}
    predictions = {name: network.predictions for name, network in networks.items()}
    scores = predictions["pspnet_r18_gdd"].image_scores
    return example_rows(scores, predictions, inputs.samples, inputs.classes, 1)


def test_rows_are_ranked_by_the_run_and_show_its_predictions(pristine: FakeProfile) -> None:
    inputs = load(pristine.runs, "test", pristine.folders)
    rows = _rows(inputs)
    assert [(row.kind, row.id) for row in rows] == [
        ("best", "0001TP_00002"), ("median", "0001TP_00005"), ("worst", "0001TP_00004"),
    ]  # fmt: skip
    assert [panel.title for panel in rows[0].panels] == ["image", "labels", "teacher", "pspnet_r18", "pspnet_r18_gdd"]
    assert rows[0].panels[4].caption.startswith("mIoU 74.7")
    assert rows[2].panels[2].caption.startswith("mIoU 38.1")
    prediction = read_mask(pristine.folders.evaluation / "pspnet_r18_gdd" / "predictions" / "0001TP_00002.png")
    colors = np.array(list(CLASSES.values()), np.uint8)
    assert (rows[0].panels[4].picture == colors[prediction]).all()
    labels = read_labels(inputs.samples["0001TP_00002"], inputs.classes)
    assert (rows[0].panels[1].picture[labels == 255] == 0).all()


def test_a_score_for_an_unknown_image_is_refused(profile: FakeProfile) -> None:
    path = profile.folders.evaluation / "pspnet_r18_gdd" / "per_image.csv"
    path.write_text(path.read_text() + "other,0.999,0.9\n")
    with raises(ArtifactError, path, "'other'", "split test"):
        load(profile.runs, "test", profile.folders)


def test_shrinking_a_mask_mixes_no_colors() -> None:
    picture = np.zeros((64, 2 * MAX_WIDTH, 3), np.uint8)
    picture[:, 1::3] = (255, 0, 0)
    media_type, content = encode_panel(Panel("labels", "", picture, is_photo=False))
    assert media_type == "image/png"
    shrunk = np.asarray(Image.open(io.BytesIO(content)))
    assert shrunk.shape == (32, MAX_WIDTH, 3)
    assert {tuple(color) for color in shrunk.reshape(-1, 3).tolist()} == {(0, 0, 0), (255, 0, 0)}
