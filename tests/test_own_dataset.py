"""A user's own dataset through the whole pipeline by the real command line, once; what curation does with others."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.data.images import read_image, read_mask
from pipeline.data.samples import read_decisions, read_samples
from tests.fresh_project import write_own_dataset
from tests.small_profile import repro, repro_side_by_side, run, write_small_profile

pytestmark = pytest.mark.smoke
RUN = "pspnet_r18"
SIZES = [(64, 96), (120, 70), (40, 50), (150, 260)]
"""Landscape, portrait, smaller than a crop, larger than the graph."""
QUICK: dict[str, Any] = {
    "engine": {"precisions": []},
    "benchmark": {"images": 3, "runtimes": ["onnxruntime"]},
    "release": {"runtimes": ["onnxruntime"]},
}
"""One runtime: tests/test_pipeline_smoke.py has them all."""


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A profile on images of mixed sizes, whose student was trained and evaluated by `dvc repro`."""
    folder = tmp_path_factory.mktemp("profile")
    write_own_dataset(folder / "own", SIZES)
    write_small_profile(
        folder, [RUN], dataset={"adapter": "folder", "source": "own"}, export={"resize": "letterbox"},
        curation={"rules": {"leakage": {"policy": "warn"}}}, **QUICK,
    )  # fmt: skip
    done = repro(folder, f"evaluate-{RUN}")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return folder


@pytest.fixture(scope="module")
def finished(profile: Path) -> Path:
    """The same after all other stages, by `python -m pipeline repro`."""
    done = repro_side_by_side(profile)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return profile


def test_every_sample_of_the_evaluation_split_was_predicted_and_counted(profile: Path) -> None:
    evaluation = json.loads((profile / f"reports/metrics/evaluate/{RUN}.json").read_text())
    samples = read_samples(profile / "data/curated/samples.csv", "test")
    assert 0 < evaluation["miou"] < 1
    for sample in samples:
        labels = read_mask(profile / f"artifacts/evaluation/{RUN}/predictions/{sample.id}.png")
        assert labels.shape == read_image(profile / sample.image).shape[:2]


@pytest.mark.slow
def test_every_number_of_the_summary_is_there(finished: Path) -> None:
    summary = json.loads((finished / "reports/summary.json").read_text())
    assert 0 <= summary["teacher"]["miou"] <= 1
    (entry,) = summary["runs"]
    assert (entry["run"], entry["baseline_miou"]) == (RUN, entry["miou"])
    assert entry["onnx_pixel_agreement"] >= 0.9999
    assert abs(entry["onnx_miou"] - entry["miou"]) < 1e-4
    assert entry["latency_p50_ms"] > 0


def test_the_broken_image_was_rejected_with_its_reason(profile: Path) -> None:
    decisions = {d.sample.id: d for d in read_decisions(profile / "data/curated/decisions.csv")}
    broken = decisions.pop("train_4")
    assert (broken.decision, broken.rules[0]) == ("drop", "unreadable_image")
    assert {decision.decision for decision in decisions.values()} == {"keep"}
    assert "train_4" not in (profile / "data/curated/samples.csv").read_text()


@pytest.mark.slow
def test_the_report_opens_offline(finished: Path) -> None:
    page = (finished / "reports/index.html").read_text()
    assert RUN in page
    assert 'src="http' not in page
    assert 'href="http' not in page


@pytest.mark.slow
def test_the_bundle_predicts_what_was_evaluated(finished: Path, tmp_path: Path) -> None:
    exported = json.loads((finished / f"reports/metrics/export/{RUN}.json").read_text())
    assert exported["artifacts"][0]["parity"]["pixel_agreement"] >= 0.9999
    bundle = finished / f"artifacts/release/{RUN}"
    assert json.loads((bundle / "preprocessing.json").read_text())["resize"]["mode"] == "letterbox"
    for sample in read_samples(finished / "data/curated/samples.csv", "test"):
        command = [sys.executable, str(bundle / "predict.py"), str(finished / sample.image), "--labels", "labels.png"]
        assert run(command, tmp_path).returncode == 0
        labels = read_mask(tmp_path / "labels.png")
        evaluated = read_mask(finished / f"artifacts/evaluation/{RUN}/predictions/{sample.id}.png")
        assert labels.shape == read_image(finished / sample.image).shape[:2]
        assert (labels == evaluated).mean() > 0.9  # whichever precision is fastest
    assert run([sys.executable, str(bundle / "self_test.py")], tmp_path).returncode == 0


@pytest.mark.slow
def test_a_second_repro_does_nothing(finished: Path) -> None:
    done = repro(finished)
    assert done.returncode == 0
    assert "Data and pipelines are up to date" in done.stdout
    assert "Running stage" not in done.stdout


@pytest.mark.parametrize(
    ("old", "new", "missing"),
    [
        ("adapter: folder", "adapter: camvid", "own/train"),
        ("source: own", "source: nowhere", "nowhere"),
    ],
)
def test_a_dataset_that_is_not_there_is_one_message(
    profile: Path, tmp_path: Path, old: str, new: str, missing: str
) -> None:
    (tmp_path / "own").symlink_to(profile / "own")
    text = (profile / "params.yaml").read_text()
    assert old in text
    (tmp_path / "params.yaml").write_text(text.replace(old, new))
    done = run([sys.executable, "-m", "stages.prepare"], tmp_path)
    assert done.returncode == 1
    assert "DatasetError: " in done.stderr
    assert missing in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_dataset_without_splits_is_divided_by_whole_sequences(tmp_path: Path) -> None:
    write_own_dataset(tmp_path / "own")
    for kind in ("images", "masks"):
        for number, file in enumerate(sorted((tmp_path / "own" / kind).glob("*/[!4].png"))):
            folder = tmp_path / "own" / kind / f"drive_{number // 2}"
            folder.mkdir(exist_ok=True)
            file.rename(folder / f"{number}.png")
        for split in ("train", "val", "test"):
            shutil.rmtree(tmp_path / "own" / kind / split)
    split = {"by": "sequences", "val_share": 0.2, "test_share": 0.3, "seed": 1}
    write_small_profile(
        tmp_path, ["pspnet_r18"], dataset={"adapter": "folder", "source": "own", "split": split},
        curation={"rules": {"leakage": {"policy": "warn"}}},
    )  # fmt: skip
    done = repro(tmp_path, "curate")
    assert done.returncode == 0, done.stderr
    samples = read_samples(tmp_path / "data/curated/samples.csv")
    assert len(samples) == 14
    assert len({(s.sequence, s.split) for s in samples}) == len({s.sequence for s in samples}) == 7
    assert {s.split for s in samples} == {"train", "val", "test"}


@pytest.mark.slow
def test_a_class_without_a_pixel_stops_the_pipeline_unless_it_may_warn(tmp_path: Path) -> None:
    write_own_dataset(tmp_path / "own")
    table = tmp_path / "own/classes.yaml"
    kiosk = "  - {name: kiosk, color: [7, 7, 7], ids: [7]}"
    table.write_text(table.read_text().replace("void:", f"{kiosk}\nvoid:"))
    rules = {"leakage": {"policy": "warn"}}
    for policy in ("block", "warn"):
        rules["untrained_class"] = {"policy": policy}
        write_small_profile(
            tmp_path, ["pspnet_r18"], dataset={"adapter": "folder", "source": "own"}, curation={"rules": rules}
        )
        done = repro(tmp_path, "curate")
        assert (done.returncode == 0) == (policy == "warn"), done.stderr
        said = done.stdout if policy == "warn" else done.stderr
        assert any("kiosk" in line and "(ids 7)" in line for line in said.splitlines())
        assert (tmp_path / "data/curated/samples.csv").exists() == (policy == "warn")
