"""The models under releases/: what a new user segments a picture with, one minute after cloning."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.comparison.code import ROOT
from pipeline.data.classes import IGNORE_INDEX
from pipeline.deploy.bundle.verify import verify
from pipeline.preparation.camvid import read_camvid
from tests.small_profile import environment

BUNDLES = sorted(path.parent for path in (ROOT / "releases").glob("*/manifest.json"))
MEBIBYTES = 30


def test_there_are_two_and_they_stay_small() -> None:
    assert [bundle.name for bundle in BUNDLES] == ["camvid_deeplabv3_r18", "camvid_pspnet_r18"]
    files = [path for path in (ROOT / "releases").rglob("*") if path.is_file() and path.suffix != ".pyc"]
    assert sum(path.stat().st_size for path in files) <= MEBIBYTES * 2**20


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)
def test_each_is_what_was_released_and_passes_its_own_test(bundle: Path) -> None:
    verification = verify(bundle, None)
    assert (verification.status, verification.unlisted) == ("released", [])
    done = subprocess.run(
        [sys.executable, "-I", str(bundle / "self_test.py")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "passed in" in done.stdout


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)
def test_make_predict_segments_a_picture(bundle: Path, tmp_path: Path) -> None:
    picture = tmp_path / "street.jpg"
    Image.open(bundle / "golden/image.png").convert("RGB").resize((400, 300)).save(picture)
    command = ["make", "-s", "-C", str(ROOT), "predict", f"IMAGE={picture}", f"MODEL={bundle.relative_to(ROOT)}"]
    written = ROOT / "street_overlay.png"
    try:
        done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "road" in done.stdout
        assert Image.open(written).size == (400, 300)
    finally:
        written.unlink(missing_ok=True)


@pytest.mark.skipif("SEGDISTILL_CAMVID" not in os.environ, reason="SEGDISTILL_CAMVID names no folder with CamVid")
@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)
def test_it_knows_a_street_when_it_sees_one(bundle: Path, tmp_path: Path) -> None:
    """Twelve test images, far apart: a wrong resize, a swapped channel or a shifted class would cost tens of points."""
    raw = read_camvid(Path(os.environ["SEGDISTILL_CAMVID"]))
    samples = [sample for sample in raw.samples if sample.split == "test"][::20]
    right = known = 0
    for sample in samples:
        labels = tmp_path / "labels.png"
        command = [sys.executable, "-I", str(bundle / "predict.py"), str(sample.image), "--labels", str(labels)]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        truth = raw.classes.to_train_ids(np.array(Image.open(sample.mask)))  # type: ignore[arg-type]
        labelled = truth != IGNORE_INDEX
        right += int((np.array(Image.open(labels)) == truth)[labelled].sum())
        known += int(labelled.sum())
    assert right / known > 0.6
