"""A profile that is copied, with its dataset and its weights at other places: nothing is trained again."""

import shutil
import sys
from pathlib import Path

import pytest
from safetensors.torch import save_file

from models.backbone import build_backbone
from pipeline.data.files import sha256
from tests.fresh_project import write_own_dataset
from tests.small_profile import repro, run, write_small_profile

pytestmark = [pytest.mark.smoke, pytest.mark.slow]
TRAINED = ("checkpoint.safetensors", "training.csv")  # the second says how fast it was: no two are alike


def test_another_place_is_no_other_training(tmp_path: Path) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    here, there = tmp_path / "here", tmp_path / "there"
    write_own_dataset(here / "own")
    weights = here / "weights.safetensors"
    save_file(build_backbone("resnet10t", 16).network.state_dict(), weights)
    network = {"weights": {"source": "file", "file": str(weights), "sha256": sha256(weights)}}
    write_small_profile(
        before, ["pspnet_r18"], teacher={"network": network},
        dataset={"adapter": "folder", "source": str(here / "own")},
        curation={"rules": {"leakage": {"policy": "warn"}}},
    )  # fmt: skip
    done = repro(before, "teacher")
    assert done.returncode == 0, done.stdout + done.stderr

    by_hand = [sys.executable, "-m", "stages.teacher"]
    shutil.copytree(before, after, symlinks=True)
    shutil.rmtree(after / "artifacts/teacher")
    assert run(by_hand, after).returncode == 0  # leaves a state that dvc.lock does not know
    trained = _trained(after)
    assert trained != _trained(before)
    here.rename(there)
    for profile in (before, after):
        text = (profile / "params.yaml").read_text()
        (profile / "params.yaml").write_text(text.replace(f"{here}/", f"{there}/"))

    assert run([sys.executable, "-m", "pipeline", "stages"], before).returncode == 0
    moved = repro(before, "teacher")
    assert moved.returncode == 0, moved.stdout + moved.stderr
    assert "Running stage 'prepare'" in moved.stdout
    assert "Stage 'teacher' didn't change" in moved.stdout

    for folder in ("prepared", "curated"):
        shutil.copytree(before / "data" / folder, after / "data" / folder, dirs_exist_ok=True)
    shutil.rmtree(after / "artifacts/teacher")
    resumed = run(by_hand, after)
    assert resumed.returncode == 0, resumed.stderr
    assert _trained(after) == trained


def _trained(profile: Path) -> list[bytes]:
    return [(profile / "artifacts/teacher" / name).read_bytes() for name in TRAINED]
