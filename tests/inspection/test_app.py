import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.curation.review import Remark, read_review, write_review
from pipeline.errors import ArtifactError, DatasetError, ParamsError
from pipeline.inspection.views import members, views_of
from tests.inspection.toy_profile import BASELINE, HEIGHT, STUDENT, WIDTH, ToyProfile
from tests.raising import raises
from tests.toy import TOY_CLASSES

ROOT = Path(__file__).parents[2]


class Inspection:
    """The App's dataset of a toy profile, and what people do with it."""

    def __init__(self, app: ModuleType, profile: ToyProfile):
        self.app = app
        self.profile = profile

    def build(self) -> Any:
        self.dataset = self.app.refresh(self.profile.inputs())
        return self.dataset

    def apply(self) -> list[tuple[str, str]]:
        self.app.apply_tags(self.profile.paths.review)
        return self.review()

    def review(self) -> list[tuple[str, str]]:
        return [(remark.id, remark.verdict) for remark in read_review(self.profile.paths.review)]

    def tag(self, sample: str, *tags: str) -> None:
        self.dataset.match({"name": sample}).tag_samples(list(tags))

    def untag(self, sample: str, *tags: str) -> None:
        self.dataset.match({"name": sample}).untag_samples(list(tags))

    def tags(self, sample: str) -> list[str]:
        return self.one(sample).tags

    def one(self, sample: str) -> Any:
        return self.dataset.one({"name": sample})


@pytest.fixture
def inspection(app: ModuleType, profile: ToyProfile) -> Iterator[Inspection]:
    yield Inspection(app, profile)
    app.fo.delete_datasets("*")


def test_every_sample_is_there_with_what_is_known_of_it(inspection: Inspection) -> None:
    dataset = inspection.build()
    assert dataset.name == "inspection"
    assert dataset.values("name") == [sample.id for sample in inspection.profile.samples]
    assert [tags[0] for tags in dataset.values("tags")] == ["train", "train", "val", "test", "unlabelled"] + [
        "train"
    ] * 2
    sample = inspection.one("toy_2")
    assert sample.filepath == str(Path("data/raw/toy_2.png").absolute())
    assert (sample.metadata.width, sample.metadata.height) == (WIDTH, HEIGHT)
    assert (sample.sequence, sample.decision, sample.hardness) == ("drive_1", "keep", 0.3)
    assert sample[f"{STUDENT}_gain"] == 0.1
    assert sample[f"{BASELINE}_miou"] == 0.7
    assert sample["teacher_pixel_accuracy"] == 0.98


def test_what_has_no_value_has_none(inspection: Inspection) -> None:
    dataset = inspection.build()
    assert inspection.one("toy_4")[f"{STUDENT}_miou"] is None
    assert inspection.one("toy_4").ground_truth is None
    assert inspection.one("toy_4").teacher.mask_path is not None
    assert {"teacher_agreement", "teacher_gain", f"{BASELINE}_gain"}.isdisjoint(dataset.get_field_schema())


def test_rejected_samples_say_why(inspection: Inspection) -> None:
    inspection.build()
    broken = inspection.one("broken")
    assert broken.tags == ["train", "rejected"]
    assert (broken.decision, broken.rules, broken.reasons) == (
        "drop",
        ["unreadable_image"],
        ["cannot identify image file"],
    )
    assert broken.metadata is None
    assert inspection.one("twin").metadata.width == WIDTH


def test_masks_have_names_and_colors(inspection: Inspection) -> None:
    dataset = inspection.build()
    assert dataset.default_mask_targets == {1: "ground", 2: "box", 3: "pond", 255: "not in the class table"}
    scheme = dataset.app_config.color_scheme
    assert scheme.default_mask_targets_colors[1] == {"intTarget": 2, "color": "#c83c3c"}
    assert scheme.color_by == "value"
    ids = np.asarray(Image.open(inspection.one("toy_0").ground_truth.mask_path))
    assert set(ids.flat) == {0, 1, 2, 3}
    active = dataset.app_config.active_fields
    assert active.paths == ["ground_truth", "label_mistakes", "rules"]
    assert not active.exclude


def test_fiftyone_counts_as_we_do(inspection: Inspection) -> None:
    """Its own evaluation sees every class and leaves void out: the masks are laid out as it needs them."""
    labelled = inspection.build().match_tags(["train", "val", "test"]).exists("ground_truth")
    results = labelled.evaluate_segmentations(
        STUDENT, gt_field="ground_truth", mask_targets={1: "ground", 2: "box", 3: "pond"}, progress=False
    )
    expected = np.zeros((3, 3), dtype=int)
    for sample in inspection.profile.samples[:4]:
        labels = np.asarray(Image.open(sample.mask)).astype(int)
        prediction = np.asarray(Image.open(sample.networks[STUDENT].prediction)).astype(int)
        known = labels != 255
        expected += np.bincount(3 * labels[known] + prediction[known], minlength=9).reshape(3, 3)
    assert (results.pixel_confusion_matrix == expected).all()


def test_label_mistakes_are_regions(inspection: Inspection) -> None:
    inspection.build()
    region = inspection.one("toy_0").label_mistakes.detections[0]
    assert (region.label, region.confidence, region.pixels) == ("ground -> pond", 0.87, 600)
    assert region.bounding_box == [10 / WIDTH, 20 / HEIGHT, 30 / WIDTH, 20 / HEIGHT]
    assert inspection.one("toy_1").label_mistakes is None


def test_saved_views_show_what_the_report_shows(inspection: Inspection) -> None:
    dataset = inspection.build()
    samples = inspection.profile.samples
    views = views_of(samples)
    assert dataset.list_saved_views() == [view.name for view in views]
    assert len(views) >= 6
    for view in views:
        shown = dataset.load_saved_view(view.name).values("name")
        assert shown == [sample.id for sample in members(view, samples)], view.name
        assert dataset.get_saved_view_info(view.name)["description"] == view.shows


def test_equal_values_stay_in_the_order_of_the_list(inspection: Inspection) -> None:
    profile = inspection.profile
    profile.samples = [replace(s, hardness=None if s.hardness is None else 0.5) for s in profile.samples]
    profile.write()
    assert inspection.build().load_saved_view("hardest").values("name") == [f"toy_{i}" for i in range(5)]


def test_the_sidebar_holds_every_field_once(inspection: Inspection) -> None:
    from pipeline.inspection.dataset import sidebar

    dataset = inspection.build()
    groups = {group.name: group.paths for group in dataset.app_config.sidebar_groups}
    listed = [path for paths in groups.values() for path in paths]
    assert sorted(listed) == sorted(set(dataset.get_field_schema()) - {"tags"})
    assert groups["truth and predictions"] == ["ground_truth", "label_mistakes", "teacher", BASELINE, STUDENT]
    assert f"{STUDENT}_gain" in groups[f"quality of {STUDENT}"]
    assert "0..1" in dataset.get_field("hardness").description
    assert "quality of x" not in [group.name for group in sidebar(["x"], ["x"])]


def test_the_plot_of_features_and_its_workspace(inspection: Inspection) -> None:
    dataset = inspection.build()
    results = dataset.load_brain_results("teacher_features")
    assert results.points.tolist() == [list(s.position) for s in inspection.profile.samples[:5]]
    assert list(results.sample_ids) == dataset.values("id")[:5]
    space = dataset.load_workspace("embeddings")
    assert [child.children[0].type for child in space.children] == ["Samples", "Embeddings"]
    assert all(child.active_child == child.children[0].component_id for child in space.children)


def test_without_positions_there_is_no_plot(inspection: Inspection) -> None:
    profile = inspection.profile
    profile.samples = [replace(sample, position=None) for sample in profile.samples]
    profile.write()
    dataset = inspection.build()
    assert dataset.list_brain_runs() == []
    assert dataset.list_workspaces() == []


def test_fields_of_one_name_are_refused(inspection: Inspection) -> None:
    profile = inspection.profile
    networks = profile.samples[0].networks
    profile.write(networks={**networks, f"{STUDENT}_miou": networks[STUDENT]})
    with raises(ParamsError, f"{STUDENT}_miou", "params.yaml"):
        inspection.build()


def test_it_is_built_anew_only_after_a_change(inspection: Inspection, capsys: pytest.CaptureFixture[str]) -> None:
    ids = inspection.build().values("id")
    built = capsys.readouterr().out
    assert "7 samples" in built
    assert "3 networks" in built
    assert inspection.build().values("id") == ids
    assert capsys.readouterr().out == ""
    inspection.profile.write(hardness=0.9)
    rebuilt = inspection.build().values("id")
    assert not set(rebuilt) & set(ids)
    assert inspection.one("toy_0").hardness == 0.9
    inspection.profile.review(("toy_1", "drop"))
    assert not set(inspection.build().values("id")) & set(rebuilt)
    TOY_CLASSES.save(inspection.profile.paths.classes)
    assert inspection.app.fo.list_datasets() == ["inspection"]


def test_tags_go_into_the_review_file_and_come_back(inspection: Inspection, capsys: pytest.CaptureFixture[str]) -> None:
    inspection.build()
    inspection.tag("toy_1", "drop")
    inspection.tag("toy_3", "fix_label")
    assert inspection.apply() == [("toy_1", "drop"), ("toy_3", "fix_label")]
    assert read_review(Path("review.csv"))[0] == inspection.profile.remark("toy_1", "drop")
    said = capsys.readouterr().out
    assert "+ drop toy_1" in said
    assert "1 drop, 1 fix_label" in said
    assert "dvc repro" in said
    inspection.build()
    assert inspection.tags("toy_1") == ["train", "drop"]
    inspection.untag("toy_1", "drop")
    assert inspection.apply() == [("toy_3", "fix_label")]
    assert "- drop toy_1" in capsys.readouterr().out


def test_applying_twice_changes_nothing(inspection: Inspection, capsys: pytest.CaptureFixture[str]) -> None:
    inspection.build()
    inspection.tag("toy_1", "drop")
    inspection.apply()
    capsys.readouterr()
    before = Path("review.csv").stat().st_ino
    inspection.apply()
    assert Path("review.csv").stat().st_ino == before
    said = capsys.readouterr().out
    assert "toy_1" not in said
    assert "dvc repro" not in said


@pytest.mark.slow
def test_an_applied_verdict_can_be_taken_back_in_the_file(inspection: Inspection) -> None:
    inspection.build()
    inspection.tag("toy_1", "drop")
    inspection.apply()
    inspection.profile.review()
    inspection.build()
    assert inspection.tags("toy_1") == ["train"]
    assert inspection.apply() == []


@pytest.mark.slow
def test_tags_that_were_not_applied_survive_a_rebuild(
    inspection: Inspection, capsys: pytest.CaptureFixture[str]
) -> None:
    inspection.profile.review(("toy_0", "drop"), ("toy_2", "drop"))
    inspection.build()
    inspection.untag("toy_0", "drop")
    inspection.tag("toy_1", "fix_label", "look at it with Ann")
    inspection.profile.review(("toy_0", "drop"), ("toy_2", "fix_label"), ("toy_3", "drop"))
    for _ in range(2):  # a second rebuild must not take the first one's tags for the file's
        inspection.profile.write(hardness=float(np.random.default_rng().random()))
        inspection.build()
        assert inspection.tags("toy_0") == ["train"]
        assert inspection.tags("toy_1") == ["train", "fix_label", "look at it with Ann"]
        assert inspection.tags("toy_2") == ["val", "fix_label"]
        assert inspection.tags("toy_3") == ["test", "drop"]
        assert re.search(r"^2 verdict.*review\.csv.*`make inspect-apply`", capsys.readouterr().out, re.MULTILINE)
    assert inspection.apply() == [("toy_1", "fix_label"), ("toy_2", "fix_label"), ("toy_3", "drop")]


@pytest.mark.slow
def test_a_rebuild_that_is_cut_short_loses_no_tags(inspection: Inspection, monkeypatch: pytest.MonkeyPatch) -> None:
    inspection.build()
    inspection.tag("toy_1", "fix_label", "look at it with Ann")
    inspection.profile.write(hardness=0.9)
    with monkeypatch.context() as patch:
        patch.setattr(inspection.app, "build", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            inspection.build()
    inspection.dataset.reload()  # as another process would find it
    assert len(inspection.dataset) == 0
    inspection.build()
    assert inspection.tags("toy_1") == ["train", "fix_label", "look at it with Ann"]
    assert inspection.apply() == [("toy_1", "fix_label")]


def test_lines_that_came_after_the_build_stay(inspection: Inspection) -> None:
    inspection.build()
    inspection.profile.review(("toy_3", "drop"))
    inspection.tag("toy_1", "drop")
    assert inspection.apply() == [("toy_1", "drop"), ("toy_3", "drop")]


def test_both_verdicts_on_a_sample_write_nothing(inspection: Inspection) -> None:
    inspection.build()
    inspection.tag("toy_0", "drop")
    inspection.tag("toy_1", "drop", "fix_label")
    with raises(DatasetError, "toy_1", "drop", "fix_label"):
        inspection.apply()
    assert inspection.review() == []
    inspection.untag("toy_1", "drop")
    assert inspection.apply() == [("toy_0", "drop"), ("toy_1", "fix_label")]


def test_remarks_about_other_files_do_nothing_and_stay(
    inspection: Inspection, capsys: pytest.CaptureFixture[str]
) -> None:
    old = inspection.profile.remark("toy_1", "fix_label")._replace(mask_sha256="of the mask before it was mended")
    write_review(Path("review.csv"), [old, Remark("elsewhere", "drop", "x", "")])
    inspection.build()
    assert re.search(r"^review\.csv: 1 remark.*toy_1", capsys.readouterr().out, re.MULTILINE)
    assert inspection.tags("toy_1") == ["train"]
    assert inspection.apply() == [("elsewhere", "drop"), ("toy_1", "fix_label")]
    assert re.search(r"review\.csv: 1 drop, 1 fix_label\b.*\b2\b", capsys.readouterr().out)


def test_a_sample_without_a_readable_image_can_be_judged(inspection: Inspection) -> None:
    inspection.build()
    inspection.tag("broken", "drop")
    assert inspection.apply() == [("broken", "drop")]
    inspection.build()
    assert inspection.tags("broken") == ["train", "rejected", "drop"]


@pytest.mark.slow
def test_views_and_workspaces_of_the_user_survive_a_rebuild(
    inspection: Inspection, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = inspection.build()
    hard = inspection.app.fo.ViewField("hardness") > 0.25
    dataset.save_view("mine", dataset.match(hard).match_tags("val"), description="for Ann")
    dataset.save_view("lost", dataset.select_fields(f"{STUDENT}_gain"))
    dataset.save_workspace("alone", inspection.app.fo.Space())
    profile = inspection.profile
    profile.samples = [
        replace(s, networks={n: j for n, j in s.networks.items() if n != STUDENT}) for s in profile.samples
    ]
    profile.write()
    dataset = inspection.build()
    assert dataset.load_saved_view("mine").values("name") == ["toy_2"]
    assert dataset.get_saved_view_info("mine")["description"] == "for Ann"
    assert "alone" in dataset.list_workspaces()
    assert "'lost'" in capsys.readouterr().out
    assert f"{STUDENT}: most gained" not in dataset.list_saved_views()


def test_applying_before_anything_was_looked_at(inspection: Inspection) -> None:
    with raises(ArtifactError, "`make inspect`"):
        inspection.apply()


@pytest.mark.parametrize(
    ("file", "kind", "named"),
    [
        ("artifacts/inspection/samples.jsonl", "ArtifactError", "stage inspect"),
        ("data/prepared/classes.json", "DatasetError", "prepare stage"),
        ("review.csv", "DatasetError", "id,verdict,image_sha256,mask_sha256"),
    ],
)
def test_a_missing_input_is_one_message(profile: ToyProfile, file: str, kind: str, named: str) -> None:
    Path(file).unlink()
    run = subprocess.run(
        [sys.executable, "-m", "pipeline", "inspect", "open", "--address", "127.0.0.1", "--port", "5199"],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    assert run.stderr.strip().startswith(f"{kind}: ")
    assert file in run.stderr
    assert named in run.stderr
    assert "Traceback" not in run.stderr


def test_a_damaged_review_file_is_left_alone(inspection: Inspection) -> None:
    inspection.build()
    Path("review.csv").write_text("id,verdict\ntoy_0,drop\n")
    inspection.tag("toy_1", "drop")
    with raises(DatasetError, "review.csv", "id,verdict,image_sha256,mask_sha256"):
        inspection.apply()
    assert Path("review.csv").read_text() == "id,verdict\ntoy_0,drop\n"
