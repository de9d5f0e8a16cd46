"""The whole stage on a made-up profile: what is written, that it is self-contained, and what happens without inputs."""

import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from pipeline.errors import ArtifactError
from pipeline.inspection.records import read_inspected, write_inspected
from pipeline.reporting.report import write_report
from tests.raising import raises
from tests.reporting.conftest import FakeProfile
from tests.reporting.release_records import NO_GPU, NO_OPENVINO, write_release

LOADS = {"src", "srcset", "poster", "data", "action", "xlink:href"}


def _write(profile: FakeProfile) -> None:
    write_report(profile.report, profile.runs, "test", 2, profile.folders, profile.out)


class _Tags(HTMLParser):
    VOID = frozenset({"meta", "link", "img", "br", "path", "rect"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loaded: list[str] = []
        self.anchors: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {key: value or "" for key, value in attrs}
        self.loaded += [value for key, value in given.items() if key in LOADS]
        self.loaded += [given["href"]] if tag == "link" else []
        self.anchors += [given["href"]] if tag == "a" else []
        self.ids += [given["id"]] if "id" in given else []
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_page_is_self_contained_and_well_formed(written: Path) -> None:
    page = (written / "index.html").read_text(encoding="utf-8")
    tags = _Tags()
    tags.feed(page)
    assert not tags.open
    assert len(tags.loaded) > 30
    assert all(value.startswith("data:") for value in tags.loaded)
    assert all(anchor.removeprefix("#") in tags.ids for anchor in tags.anchors)
    assert len(tags.ids) == len(set(tags.ids))
    assert not re.search(r"https?://|<script|@import|url\((?!#)", page)


def test_page_shows_what_the_stages_found(written: Path) -> None:
    page = (written / "index.html").read_text(encoding="utf-8").replace("\N{NARROW NO-BREAK SPACE}", " ")
    for text in (
        "Made-up streets",
        "pspnet_r18_gdd 1 234",
        "One seed",
        "\N{MINUS SIGN}0.6",
        "233 images, 11 classes",
        '<td>val</td><td class="n">32</td><td class="n">4</td><td class="n">5.2 %',
        "3 rejected",
        "7 images",
        NO_GPU,
        "none (from scratch)",
        "pedestrian taken for car",
        "p90 5.41 ms",
        "1.271 points",
        "node_conv2d_3",
        "held back",
        "undecided",
        "noisy",
        NO_OPENVINO,
        "for cpu: node_conv2d_0, node_conv2d_1",
        "4&times;96&times;144",
        "pole, 0.560",
        "3 rounds",
        "Made-up CPU",
        "pspnet_r18 0.11, pspnet_r18_gdd 0.11, deeplabv3_r18 0.18, deeplabv3_r18_gdd 0.18",
        "99.998 %",
        "n/a",
    ):
        assert text in page, text
    assert re.search(r"pspnet_r18_gdd \w+ 54\.7 %.*\b10 of 11 .*`bicyclist`.* test\b.* 2\.6 points", page)


def test_pictures_are_files_too(written: Path) -> None:
    names = {path.name for path in (written / "pictures").iterdir()}
    charts = {"class_balance.png", "training.png", "pareto.png", "gain.png", "map.png", "per_class.png", "layers.png"}
    assert names == charts | {"grid_pspnet_r18_gdd.png", "grid_deeplabv3_r18_gdd.png"}
    for path in (written / "pictures").iterdir():
        with Image.open(path) as picture:
            assert picture.width > 400


@pytest.mark.slow
def test_same_inputs_give_the_same_bytes(pristine: FakeProfile, written: Path, tmp_path: Path) -> None:
    write_report(pristine.report, pristine.runs, "test", 2, pristine.folders, tmp_path)
    first, second = ({p.name: p.read_bytes() for p in out.rglob("*") if p.is_file()} for out in (written, tmp_path))
    assert len(first) == 11
    assert first == second


def test_a_profile_without_distillation_or_latency_has_a_page(profile: FakeProfile) -> None:
    runs = {name: run for name, run in profile.runs.items() if not run.distill}
    for name in runs:
        path = profile.folders.metrics / "benchmark" / f"{name}.json"
        record = json.loads(path.read_text())
        record["measurements"] = record["measurements"][-1:]
        path.write_text(json.dumps(record))
        write_release(profile.folders, name)
    path = profile.folders.inspection / "samples.jsonl"
    networks = {"teacher", *runs}
    inspected = [
        replace(sample, networks={name: of for name, of in sample.networks.items() if name in networks})
        for sample in read_inspected(path)
    ]
    write_inspected(path, inspected)
    write_report(profile.report, runs, "test", 2, profile.folders, profile.out)
    page = (profile.out / "index.html").read_text(encoding="utf-8")
    assert "No run of this profile is distilled" in page
    assert "No run has an accepted file for a CPU" in page
    assert "nothing to release: no file within its budget was measured on any runtime" in page
    assert {path.name for path in (profile.out / "pictures").glob("grid_*")} == {
        "grid_pspnet_r18.png",
        "grid_deeplabv3_r18.png",
    }


@pytest.mark.parametrize(
    ("path", "stage"),
    [
        ("data/curated/statistics.json", "curate"),
        ("artifacts/teacher/training.csv", "teacher"),
        ("artifacts/students/pspnet_r18/training.csv", "student"),
        ("artifacts/evaluation/teacher/per_image.csv", "evaluate"),
        ("artifacts/evaluation/pspnet_r18/confusion.csv", "evaluate"),
        ("reports/metrics/evaluate/teacher.json", "evaluate"),
        ("reports/metrics/export/pspnet_r18_gdd.json", "export"),
        ("reports/metrics/quantize/pspnet_r18.json", "quantize"),
        ("reports/metrics/engine/deeplabv3_r18.json", "engine"),
        ("reports/metrics/benchmark/pspnet_r18.json", "benchmark"),
        ("artifacts/release/deeplabv3_r18_gdd/manifest.json", "release"),
        ("artifacts/release/deeplabv3_r18_gdd/numerics.yaml", "release"),
    ],
)
@pytest.mark.parametrize("damage", ["missing", "corrupt"])
def test_an_input_that_cannot_be_used_is_named_with_its_stage(
    profile: FakeProfile, path: str, stage: str, damage: str
) -> None:
    if damage == "missing":
        (profile.root / path).unlink()
    else:
        (profile.root / path).write_bytes(b'\xff{"cut off')
    with raises(ArtifactError, profile.root / path, f"stage {stage}", "dvc repro"):
        _write(profile)
    assert not (profile.out / "index.html").exists()
    assert not (profile.out / "summary.json").exists()


@pytest.mark.parametrize("folder", ["artifacts/evaluation/pspnet_r18_gdd/predictions", "raw"])
def test_missing_pictures_are_named(profile: FakeProfile, folder: str) -> None:
    shutil.rmtree(profile.root / folder)
    with raises(ArtifactError, "0001TP_00002", "[Errno 2]", "dvc repro"):
        _write(profile)


def test_a_prediction_of_another_size_is_refused(profile: FakeProfile) -> None:
    path = profile.folders.evaluation / "teacher" / "predictions" / "0001TP_00002.png"
    Image.new("L", (10, 10)).save(path)
    with raises(ArtifactError, "teacher", "0001TP_00002", "10x10", "96x144"):
        _write(profile)


def test_students_of_different_precisions_are_named(profile: FakeProfile, written: Path) -> None:
    path = profile.folders.metrics / "evaluate" / "pspnet_r18.json"
    trained = json.loads(path.read_text())
    path.write_text(json.dumps(trained | {"precision": "made-up precision"}))
    _write(profile)
    both = f"(made-up precision; {trained['precision']})"
    pages = [(out / "index.html").read_text() for out in (written, profile.out)]
    assert [both in page for page in pages] == [False, True]


def test_metrics_of_another_split_are_refused(profile: FakeProfile) -> None:
    path = profile.folders.metrics / "evaluate" / "pspnet_r18.json"
    path.write_text(path.read_text().replace('"split": "test"', '"split": "val"'))
    with raises(ArtifactError, path, "split val"):
        _write(profile)
