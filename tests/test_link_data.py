"""Weights are found by what they are, whatever they are called."""

import os
from pathlib import Path

import pytest

from pipeline.__main__ import main
from pipeline.code_digest import ROOT
from pipeline.data.files import sha256
from pipeline.errors import ArtifactError
from pipeline.link_data import find_weights
from pipeline.params.tree import load_params, weight_files
from tests.raising import raises

WANTED = {"data/teacher.safetensors": b"teacher", "data/student.safetensors": b"student"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("one", "two", "three"):
        (tmp_path / "weights").mkdir(exist_ok=True)
        content = {"one": b"student", "two": b"teacher", "three": b"neither"}[name]
        (tmp_path / f"weights/{name}.safetensors").write_bytes(content)
    return tmp_path / "weights"


def _digests(folder: Path) -> dict[Path, str]:
    names = {"data/teacher.safetensors": "two", "data/student.safetensors": "one"}
    return {Path(path): sha256(folder / f"{name}.safetensors") for path, name in names.items()}


def test_a_folder_or_the_files_themselves(folder: Path) -> None:
    one, two = folder / "one.safetensors", folder / "two.safetensors"
    expected = {Path("data/teacher.safetensors"): two, Path("data/student.safetensors"): one}
    assert find_weights(_digests(folder), [folder]) == find_weights(_digests(folder), [two, one]) == expected


def test_what_is_missing_or_not_wanted_is_told(folder: Path, tmp_path: Path) -> None:
    digests = _digests(folder)
    with raises(ArtifactError, "data/student.safetensors"):
        find_weights(digests, [folder / "two.safetensors", folder / "three.safetensors"])
    with raises(ArtifactError, "data/student.safetensors", "data/teacher.safetensors", tmp_path / "nowhere"):
        find_weights(digests, [tmp_path / "nowhere"])
    with raises(ArtifactError, "--weights", "weights.source", "`file`"):
        find_weights({}, [folder])


def test_the_command_links_them_for_teacher_and_students(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("PATH", "PYTHONPATH"):  # main sets them for the processes of a command
        monkeypatch.setenv(variable, os.environ.get(variable, ""))
    weights = tmp_path / "weights"
    weights.mkdir()
    (weights / "any.safetensors").write_bytes(b"any")
    text = (ROOT / "params.yaml").read_text()
    source = f"weights: {{source: file, file: data/w.safetensors, sha256: {sha256(weights / 'any.safetensors')}}}, "
    (tmp_path / "profile").mkdir()
    (tmp_path / "profile/params.yaml").write_text(
        text.replace("backbone: resnet18_v1c, ", f"backbone: resnet18, {source}")
    )
    assert list(weight_files(load_params(tmp_path / "profile/params.yaml"))) == [Path("data/w.safetensors")]
    (tmp_path / "images").mkdir()
    monkeypatch.chdir(tmp_path)
    main(["link-data", "images", "--weights", "weights", "--profile", "profile"])
    assert (tmp_path / "profile/data/w.safetensors").read_bytes() == b"any"
