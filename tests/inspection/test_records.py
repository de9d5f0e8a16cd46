import json
from pathlib import Path

import pytest

from pipeline.errors import ArtifactError
from pipeline.inspection.records import Mistake, read_inspected, write_inspected
from tests.inspection.samples import UNMEASURED, sample, scores
from tests.raising import raises

REGION = Mistake(label="car", prediction="road", pixels=120, score=0.017, box=(30, 10, 12, 10))
SAMPLES = [
    sample(
        mistake_score=0.017,
        mistakes=[REGION],
        networks={"teacher": scores(agreement=None), "student": scores(gain=-0.125)},
    ),
    sample(
        id="Straße 1",
        decision="drop",
        rules=["broken"],
        reasons=["cannot be read: 'x'\nat\u2028all\x85"],  # with all that may pass for the end of a line
        size=None,
        mask=None,
        **UNMEASURED,
    ),
]


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "inspection/samples.jsonl"
    write_inspected(path, SAMPLES)
    assert read_inspected(path) == SAMPLES
    assert path.read_bytes().count(b"\n") == 2
    before = path.read_bytes()
    write_inspected(path, read_inspected(path))
    assert path.read_bytes() == before


def test_no_samples_are_an_empty_file(tmp_path: Path) -> None:
    write_inspected(tmp_path / "samples.jsonl", [])
    assert read_inspected(tmp_path / "samples.jsonl") == []


def test_a_missing_file_names_the_stage(tmp_path: Path) -> None:
    with raises(ArtifactError, tmp_path / "samples.jsonl", "No such", "stage inspect", "dvc repro"):
        read_inspected(tmp_path / "samples.jsonl")


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"hardness": "high"}, "hardness:"),
        ({"unheard_of": 1}, "unheard_of:"),
        ({"networks": {"teacher": {"miou": 1.0}}}, "networks.teacher.prediction:"),
        ({"id": None}, " id:"),
    ],
)
def test_a_damaged_line_is_named_by_its_number(tmp_path: Path, change: dict[str, object], place: str) -> None:
    path = tmp_path / "samples.jsonl"
    write_inspected(path, SAMPLES)
    first, second = path.read_bytes().splitlines()
    path.write_bytes(first + b"\n" + json.dumps(json.loads(second) | change).encode())
    with raises(ArtifactError, path, "stage inspect", "line 2", place, "dvc repro"):
        read_inspected(path)


@pytest.mark.parametrize("content", [b'{"id": "cut o', b"\xff\xfe\x00", b"\n"])
def test_what_is_not_json_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "samples.jsonl"
    path.write_bytes(content)
    with raises(ArtifactError, path, "stage inspect", "line 1", "dvc repro"):
        read_inspected(path)
