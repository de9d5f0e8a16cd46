"""The models under releases/: what a new user segments a picture with, one minute after cloning."""

import hashlib
import io
import lzma
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.checkpoint import load_checkpoint
from pipeline.code_digest import ROOT
from pipeline.data.classes import IGNORE_INDEX
from pipeline.params.dataset import DatasetParams
from pipeline.preparation.camvid import CamVid
from segdistill_runtime.verify import verify
from tests.small_profile import environment

BUNDLES = sorted((ROOT / "releases").glob("*.zip"))
GRAPHS = {
    "camvid_ladder_r18": "150adc138ffd0a7e0d9b203b3186d9590453d3ba4d470d251c3ee17c3c9720ea",
    "camvid_ladder_r18_k050": "d08d7e0a8df4244d34ecc0ac6f1cd9802eeeb1b35f6fc03f3aa7d602d9332ae4",
}
"""SHA-256 of each model_int8.onnx, as it was released."""
TEACHER = ROOT / "releases/camvid_pspnet_r50.safetensors.xz"
MEBIBYTES = 33


def test_these_are_released_and_they_stay_small() -> None:
    assert [bundle.stem for bundle in BUNDLES] == list(GRAPHS)
    assert sum(path.stat().st_size for path in (ROOT / "releases").iterdir()) <= MEBIBYTES * 2**20


def test_the_teacher_is_the_one_that_the_results_name_and_it_loads(tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint.safetensors"
    checkpoint.write_bytes(lzma.decompress(TEACHER.read_bytes()))
    digest = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    assert digest in (ROOT / "docs/results/camvid/README.md").read_text(encoding="utf-8")
    _, design, _ = load_checkpoint(checkpoint)
    assert (design.architecture, design.backbone) == ("pspnet", "resnet50")


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)
def test_each_is_what_was_released_and_passes_its_own_test(bundle: Path, tmp_path: Path) -> None:
    """From the clone, which extracts nothing, and extracted, as a receiver may."""
    verified = verify(bundle, None)
    assert (verified.status, verified.unlisted) == ("released", [])
    assert hashlib.sha256(verified.read("model_int8.onnx")).hexdigest() == GRAPHS[bundle.stem]
    command = [sys.executable, "-m", "segdistill_runtime", "self-test", "--bundle", str(bundle)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "model_int8.onnx" in done.stdout
    with zipfile.ZipFile(bundle) as archive:
        archive.extractall(tmp_path)
    done = subprocess.run(
        [sys.executable, "-I", str(tmp_path / "self_test.py")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "model_int8.onnx" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)
def test_make_predict_segments_a_picture(bundle: Path, tmp_path: Path) -> None:
    picture = tmp_path / "street.jpg"
    golden = io.BytesIO(verify(bundle, None).read("golden/image.png"))
    Image.open(golden).convert("RGB").resize((400, 300)).save(picture)
    command = ["make", "-s", "-C", str(ROOT), "predict", f"IMAGE={picture}", f"MODEL={bundle.relative_to(ROOT)}"]
    written = ROOT / "street_overlay.png"
    try:
        done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "road" in done.stdout
        assert Image.open(written).size == (400, 300)
    finally:
        written.unlink(missing_ok=True)


@pytest.mark.slow
@pytest.mark.skipif("SEGDISTILL_CAMVID" not in os.environ, reason="SEGDISTILL_CAMVID names no folder with CamVid")
@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)
def test_it_knows_a_street_when_it_sees_one(bundle: Path, tmp_path: Path) -> None:
    """Twelve test images, far apart: a wrong resize, a swapped channel or a shifted class would cost tens of points."""
    source = Path(os.environ["SEGDISTILL_CAMVID"])
    raw = CamVid.read(DatasetParams(adapter="camvid", source=str(source)), source)
    samples = [sample for sample in raw.samples if sample.split == "test"][::20]
    right = known = 0
    for sample in samples:
        labels = tmp_path / "labels.png"
        command = [sys.executable, "-m", "segdistill_runtime", "predict", str(sample.image)]
        command += ["--bundle", str(bundle), "--labels", str(labels), "--output", str(tmp_path / "overlay.png")]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        truth = raw.classes.to_train_ids(np.array(Image.open(sample.mask)))  # type: ignore[arg-type]
        labelled = truth != IGNORE_INDEX
        right += int((np.array(Image.open(labels)) == truth)[labelled].sum())
        known += int(labelled.sum())
    assert right / known > 0.8
