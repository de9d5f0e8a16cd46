"""Records come back as they were written; anything else is refused with the file, the stage and the first fault."""

from dataclasses import asdict, replace
from pathlib import Path

import pytest

from pipeline.errors import ArtifactError
from pipeline.records.artifacts import Export
from pipeline.records.files import read_record, write_record, write_yaml
from tests.made_records import made_artifact, made_export
from tests.raising import raises

EXPORT = made_export([made_artifact("model.onnx", "fp32", ["onnxruntime"])])


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_record(tmp_path / "a.json", EXPORT)
    write_yaml(tmp_path / "a.yaml", asdict(EXPORT))
    assert read_record(Export, tmp_path / "a.json", "export") == EXPORT
    assert read_record(Export, tmp_path / "a.yaml", "export") == EXPORT


def test_unknown_keys_of_another_version_are_ignored(tmp_path: Path) -> None:
    write_yaml(tmp_path / "a.yaml", {**asdict(EXPORT), "later": 1})
    assert read_record(Export, tmp_path / "a.yaml", "export") == EXPORT


def test_a_missing_file_names_the_stage_that_writes_it(tmp_path: Path) -> None:
    with raises(ArtifactError, tmp_path / "a.json", "No such", "stage export", "dvc repro"):
        read_record(Export, tmp_path / "a.json", "export")


@pytest.mark.parametrize("suffix", ["json", "yaml"])
@pytest.mark.parametrize("content", [b"", b"\xff\x00", b"[1, 2]", b'{"run": 1}', b"[" * 5000, b'{"a": [1'])
def test_a_damaged_or_foreign_file_is_refused(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(content)
    with raises(ArtifactError, path, "stage export", "dvc repro"):
        read_record(Export, path, "export")


def test_a_wrong_value_is_named_by_its_place(tmp_path: Path) -> None:
    wrong = asdict(replace(EXPORT, nodes=3))
    wrong["artifacts"][0]["status"] = "perhaps"
    write_yaml(tmp_path / "a.yaml", wrong)
    with raises(ArtifactError, tmp_path / "a.yaml", "artifacts.0.status:"):
        read_record(Export, tmp_path / "a.yaml", "export")
