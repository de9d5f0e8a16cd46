"""Which samples are shown in which view, with which pictures, and what is said about them."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.data.classes import ClassTable
from pipeline.data.images import read_image, read_mask
from pipeline.errors import ArtifactError
from pipeline.inspection.records import read_inspected
from pipeline.inspection.views import members
from pipeline.reporting.gallery import THUMBNAIL_WIDTH, SampleStrip, _outlined, sample_strips
from pipeline.reporting.inputs import load
from pipeline.reporting.pictures import Panel
from tests.raising import raises
from tests.reporting.conftest import CLASSES, NAMES, FakeProfile

COLORS = np.array(list(CLASSES.values()), np.uint8)


def _strips(profile: FakeProfile, view_samples: int = 2) -> dict[str, SampleStrip]:
    samples = read_inspected(profile.folders.inspection / "samples.jsonl")
    classes = ClassTable.load(profile.folders.prepared / "classes.json")
    baselines = {name: run.baseline for name, run in profile.runs.items()}
    return {strip.view.name: strip for strip in sample_strips(samples, baselines, classes, view_samples)}


def test_every_view_shows_its_first_samples(pristine: FakeProfile) -> None:
    samples = read_inspected(pristine.folders.inspection / "samples.jsonl")
    strips = _strips(pristine)
    assert {"hardest", "likely mislabelled", "pspnet_r18_gdd: most lost", "deeplabv3_r18: unlike the teacher"} < set(
        strips
    )
    for name, strip in strips.items():
        expected = members(strip.view, samples)
        assert strip.samples == len(expected)
        if name != "rejected":
            assert [shown.sample.id for shown in strip.shown] == [sample.id for sample in expected[:2]]
    assert [shown.value for shown in strips["hardest"].shown] == ["hardness 0.90", "hardness 0.35"]


def test_a_run_is_shown_beside_its_baseline_and_the_teacher(pristine: FakeProfile) -> None:
    strips = _strips(pristine)
    distilled, baseline = (
        strips["pspnet_r18_gdd: most gained"].shown[0],
        strips["pspnet_r18: unlike the teacher"].shown[0],
    )
    assert [panel.title for panel in distilled.panels] == ["image", "labels", "teacher", "pspnet_r18", "pspnet_r18_gdd"]
    assert [panel.title for panel in baseline.panels] == ["image", "labels", "teacher", "pspnet_r18"]
    assert re.match(r"\+\d\.\d points\b.*mIoU", distilled.value)
    assert re.search(r"\d\W%.*\bteacher\b", baseline.value)
    prediction = read_mask(pristine.folders.evaluation / "pspnet_r18_gdd/predictions" / f"{distilled.sample.id}.png")
    assert (distilled.panels[4].picture == COLORS[prediction]).all()
    assert (distilled.panels[0].picture == read_image(Path(distilled.sample.image))).all()


def test_the_worst_region_is_outlined_and_named(pristine: FakeProfile) -> None:
    strip = _strips(pristine)["likely mislabelled"]
    assert [shown.sample.id for shown in strip.shown] == ["0001TP_00003", "0001TP_00001"]
    worst, corner = strip.shown
    assert re.search(r"\bcar\b.*\broad\b.*\b280 pixels\b", worst.detail)
    assert worst.value.endswith(" 0.0200")
    for panel, plain in zip(worst.panels, _plain(pristine, "0001TP_00003"), strict=True):
        changed = (panel.picture != plain).any(axis=2)
        assert changed.any()
        # The region, 28 x 10 from (20, 30), is left as it is; the frame keeps close to it.
        assert not changed[30:40, 20:48].any()
        rows, columns = np.nonzero(changed)
        assert (rows.min(), rows.max(), columns.min(), columns.max()) == (24, 45, 14, 53)
        assert (panel.picture[26:28, 16:52] == 255).all()
    assert (corner.panels[0].picture[:8, :9] == _plain(pristine, "0001TP_00001")[0][:8, :9]).all()


def _plain(profile: FakeProfile, sample_id: str) -> list[np.ndarray]:
    samples = {sample.id: sample for sample in read_inspected(profile.folders.inspection / "samples.jsonl")}
    sample = samples[sample_id]
    palette = ClassTable.load(profile.folders.prepared / "classes.json").palette()
    labels = read_mask(Path(sample.mask or ""))
    return [
        read_image(Path(sample.image)),
        palette[np.where(labels < len(NAMES), labels, 255)],
        palette[read_mask(Path(sample.networks["teacher"].prediction))],
    ]


def test_an_unlabelled_sample_has_no_labels_to_show(pristine: FakeProfile) -> None:
    shown = _strips(pristine)["hardest"].shown[0]
    assert shown.sample.split == "unlabelled"
    assert [(panel.title, panel.caption) for panel in shown.panels] == [("image", ""), ("teacher", "")]


def test_each_rule_shows_a_rejected_sample_before_any_shows_two(pristine: FakeProfile) -> None:
    two, three = (_strips(pristine, count)["rejected"].shown for count in (2, 3))
    assert [shown.sample.id for shown in two] == ["Seq05VD_f05100", "0016E5_00390"]
    assert [shown.sample.id for shown in three] == ["Seq05VD_f05100", "0016E5_00390", "Seq05VD_f05130"]
    assert [len(shown.panels) for shown in two] == [1, 0]
    assert two[0].value == "leakage"
    assert re.search(r"^0\.004 .*\b0001TP_006690\b.*\btrain\b", two[0].detail)


def test_what_curation_held_for_a_bomb_is_not_decoded_here_either(profile: FakeProfile) -> None:
    path = profile.folders.inspection / "samples.jsonl"
    path.write_text(path.read_text().replace('"leakage"', '"too_large"'))
    (shown,) = _strips(profile, 1)["rejected"].shown
    assert (shown.value, shown.panels) == ("too_large", [])


def test_pictures_are_small(profile: FakeProfile) -> None:
    for path in (profile.root / "raw").glob("*.png"):
        with Image.open(path) as picture:
            picture.resize((2000, 1000), Image.Resampling.NEAREST).save(path)
    dropped = [s for s in read_inspected(profile.folders.inspection / "samples.jsonl") if s.decision == "drop"]
    classes = ClassTable.load(profile.folders.prepared / "classes.json")
    (strip,) = sample_strips(dropped, {}, classes, 1)
    assert strip.shown[0].panels[0].picture.shape == (THUMBNAIL_WIDTH // 2, THUMBNAIL_WIDTH, 3)


def test_an_outline_shrinks_with_its_picture() -> None:
    panel = Panel("labels", "", np.full((60, 80, 3), 128, np.uint8), is_photo=False)  # was 400 x 300
    framed = _outlined(panel, (101, 99, 98, 52), 400).picture
    rows, columns = np.nonzero((framed != 128).any(axis=2))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (19 - 6, 31 + 5, 20 - 6, 40 + 5)
    assert (framed[19:31, 20:40] == 128).all()


def test_the_page_has_all_of_it(written: Path) -> None:
    page = (written / "index.html").read_text(encoding="utf-8")
    for text in ("Inspection", "likely mislabelled", "label: car, teacher: road", "no picture at all",
                 "no readable image", "2 of 3 samples", "pspnet_r18_gdd: most gained"):  # fmt: skip
        assert text in page, text


@pytest.mark.parametrize("what", ["prediction", "mask"])
def test_a_missing_picture_is_named(profile: FakeProfile, what: str) -> None:
    samples = {sample.id: sample for sample in read_inspected(profile.folders.inspection / "samples.jsonl")}
    sample = samples["0001TP_00003"]
    Path((sample.mask or "") if what == "mask" else sample.networks["teacher"].prediction).unlink()
    with raises(ArtifactError, "0001TP_00003", "[Errno 2]", "dvc repro"):
        _strips(profile)


def test_what_was_inspected_must_be_there_and_of_these_runs(profile: FakeProfile) -> None:
    fewer = {name: run for name, run in profile.runs.items() if name != "deeplabv3_r18_gdd"}
    with raises(ArtifactError, "deeplabv3_r18_gdd", "params.yaml", "dvc repro"):
        load(fewer, "test", profile.folders)
    path = profile.folders.inspection / "samples.jsonl"
    path.write_text(json.dumps({"id": "cut off"}))
    with raises(ArtifactError, path, "line 1", "stage inspect", "dvc repro"):
        load(profile.runs, "test", profile.folders)
    path.unlink()
    with raises(ArtifactError, path, "No such", "stage inspect", "dvc repro"):
        load(profile.runs, "test", profile.folders)
