from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.data.classes import ClassTable, LabelClass
from pipeline.data.files import sha256
from pipeline.data.images import read_mask
from pipeline.errors import ArtifactError
from pipeline.inspection.inputs import draw_pictures, view_ids
from tests.inspection.toy_profile import HEIGHT, STUDENT, WIDTH, ToyProfile
from tests.raising import raises
from tests.toy import TOY_CLASSES, toy_pair

PREDICTION = Path(f"artifacts/predictions/{STUDENT}/toy_0.png")


def draw(profile: ToyProfile) -> dict[str, dict[str, Path]]:
    return draw_pictures(profile.samples, TOY_CLASSES, profile.root / "masks")


def test_view_ids_leave_no_class_invisible() -> None:
    assert view_ids(np.uint8([0, 2, 3, 254, 255]), class_count=3).tolist() == [1, 3, 255, 255, 0]
    assert view_ids(np.arange(256, dtype=np.uint8), class_count=254)[253] == 254


def test_masks_are_translated_by_the_class_table(profile: ToyProfile) -> None:
    drawn = draw(profile)["toy_1"]
    labels = toy_pair(1, HEIGHT, WIDTH)[1]
    assert (read_mask(drawn["ground_truth"]) == np.where(labels == 255, 0, labels + 1)).all()
    prediction = read_mask(Path(profile.samples[1].networks[STUDENT].prediction))
    assert (read_mask(drawn[STUDENT]) == prediction + 1).all()


def test_ids_that_the_class_table_does_not_know_are_seen(profile: ToyProfile) -> None:
    raw = toy_pair(1, HEIGHT, WIDTH)[1]
    raw[:3] = 77
    Image.fromarray(raw).save("data/raw/toy_1_mask.png")
    profile.samples[1] = replace(profile.samples[1], mask_sha256=sha256(Path("data/raw/toy_1_mask.png")))
    shown = read_mask(draw(profile)["toy_1"]["ground_truth"])
    assert (shown[:3] == 255).all()
    assert (shown[3:] == np.where(raw == 255, 0, raw + 1)[3:]).all()


def test_more_classes_than_the_app_has_ids_for(profile: ToyProfile) -> None:
    many = tuple(LabelClass(f"c{i}", (i, 0, 0), (i,)) for i in range(255))
    with raises(ArtifactError, "254 classes", "255"):
        draw_pictures(profile.samples, ClassTable("many", many, ()), profile.root / "masks")


def test_unlabelled_and_rejected_samples_lack_what_they_cannot_have(profile: ToyProfile) -> None:
    drawn = draw(profile)
    assert set(drawn["toy_4"]) == {"teacher", "pspnet_none", "pspnet_gdd"}
    assert drawn["twin"] == {}
    assert drawn["broken"] == {}


def test_only_what_changed_is_written_again(profile: ToyProfile) -> None:
    files = [path for of_sample in draw(profile).values() for path in of_sample.values()]
    before = {path: path.stat().st_ino for path in files}
    Image.fromarray(np.zeros((HEIGHT, WIDTH), np.uint8)).save(PREDICTION)
    drawn = draw(profile)
    changed = [path for path in files if path.stat().st_ino != before[path]]
    assert changed == [drawn["toy_0"][STUDENT]]
    assert (read_mask(changed[0]) == 1).all()


def test_another_class_table_makes_all_masks_anew(profile: ToyProfile) -> None:
    old = profile.inputs().pictures["toy_0"]["ground_truth"]
    turned = replace(TOY_CLASSES, classes=TOY_CLASSES.classes[::-1])
    turned.save(profile.paths.classes)
    new = profile.inputs().pictures["toy_0"]["ground_truth"]
    assert not old.exists()
    assert (read_mask(new)[0] == 3).any()


def test_images_that_no_browser_knows_are_converted(profile: ToyProfile) -> None:
    pixels = np.asarray(Image.open("data/raw/toy_0.png"))
    Image.fromarray(pixels).save("data/raw/toy_0.tif")
    profile.write(image="data/raw/toy_0.tif", image_sha256=sha256(Path("data/raw/toy_0.tif")))
    assert (np.asarray(Image.open(draw(profile)["toy_0"]["image"])) == pixels).all()


def test_a_prediction_of_another_size(profile: ToyProfile) -> None:
    Image.fromarray(np.zeros((48, 64), np.uint8)).save(PREDICTION)
    with raises(ArtifactError, "sample toy_0", PREDICTION, "48x64", "96x128"):
        draw(profile)


def test_a_missing_prediction(profile: ToyProfile) -> None:
    PREDICTION.unlink()
    with raises(ArtifactError, STUDENT, "sample toy_0", PREDICTION, "[Errno 2]", "dvc repro"):
        draw(profile)


def test_a_damaged_prediction(profile: ToyProfile) -> None:
    PREDICTION.write_bytes(PREDICTION.read_bytes()[:60])
    with raises(ArtifactError, "sample toy_0", PREDICTION, "truncated"):
        draw(profile)


def test_a_prediction_of_other_classes(profile: ToyProfile) -> None:
    Image.fromarray(np.full((HEIGHT, WIDTH), 7, np.uint8)).save(PREDICTION)
    with raises(ArtifactError, PREDICTION, "3 classes"):
        draw(profile)


def test_a_mask_that_broke_after_curation(profile: ToyProfile) -> None:
    draw(profile)
    Path("data/raw/toy_0_mask.png").write_bytes(b"gone")
    with raises(ArtifactError, "ground_truth", "sample toy_0", "toy_0_mask.png"):
        draw(profile)
    profile.write(decision="drop")
    assert "ground_truth" not in draw(profile)["toy_0"]
