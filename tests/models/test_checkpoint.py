"""Checkpoints: written, read again, refused where they are not ours."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from models.checkpoint import FORMAT, load_checkpoint, load_for_inference, save_checkpoint
from models.errors import ModelError
from tests.raising import raises
from tests.toy import toy_segmenter

FACTS = {"backbone_weights": "none", "seed": "3"}


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    segmenter, design = toy_segmenter("pspnet")
    save_checkpoint(segmenter, design, FACTS, tmp_path / "a.safetensors")
    again, its_design, facts = load_checkpoint(tmp_path / "a.safetensors")
    assert (its_design, facts) == (design, FACTS)
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in segmenter.state_dict().items())


def test_equal_networks_are_equal_files(tmp_path: Path) -> None:
    """Otherwise the hash of a training that was repeated exactly would change, and all that DVC runs after it."""
    segmenter, design = toy_segmenter("pspnet")
    for copy in range(8):
        save_checkpoint(segmenter, design, FACTS, tmp_path / f"{copy}.safetensors")
    assert len({file.read_bytes() for file in tmp_path.iterdir()}) == 1


def test_a_checkpoint_of_the_form_before_is_a_whole_network_at_full_scale(tmp_path: Path) -> None:
    segmenter, design = toy_segmenter("pspnet")
    older = {name: value for name, value in asdict(design).items() if name not in ("input_scale", "channels")}
    header = {"segdistill-2": json.dumps({"design": older, "facts": FACTS})}
    save_file(segmenter.state_dict(), tmp_path / "older.safetensors", metadata=header)
    again, its_design, facts = load_checkpoint(tmp_path / "older.safetensors")
    assert (its_design, facts) == (design, FACTS)
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in segmenter.state_dict().items())


def test_a_damaged_or_foreign_checkpoint_is_refused(tmp_path: Path) -> None:
    with raises(ModelError, tmp_path / "none.safetensors", "dvc repro"):
        load_checkpoint(tmp_path / "none.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(b"12345678{")
    with raises(ModelError, tmp_path / "cut.safetensors", "deserializing", "dvc repro"):
        load_checkpoint(tmp_path / "cut.safetensors")
    save_file({"w": torch.zeros(1)}, tmp_path / "other.safetensors")
    with raises(ModelError, tmp_path / "other.safetensors", FORMAT):
        load_checkpoint(tmp_path / "other.safetensors")


def test_reference_predictions_are_made_without_tf32(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    segmenter, design = toy_segmenter()
    save_checkpoint(segmenter, design, {}, tmp_path / "x.safetensors")
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    load_for_inference(tmp_path / "x.safetensors", torch.get_num_threads())
    assert not torch.backends.cudnn.allow_tf32
    assert torch.get_float32_matmul_precision() == "highest"
