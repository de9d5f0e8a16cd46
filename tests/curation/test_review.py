from pathlib import Path

import pytest

from pipeline.curation.curate import valid_verdicts
from pipeline.curation.review import Remark, read_review, write_review
from pipeline.errors import DatasetError
from tests.curation.measured import sample
from tests.raising import raises

HEADER = "id,verdict,image_sha256,mask_sha256\n"


def test_a_review_comes_back_sorted(tmp_path: Path) -> None:
    remarks = [Remark("b, c", "fix_label", "1", "2"), Remark("a", "drop", "3", "")]
    write_review(tmp_path / "review.csv", remarks)
    assert read_review(tmp_path / "review.csv") == remarks[::-1]
    write_review(tmp_path / "review.csv", [])
    assert (tmp_path / "review.csv").read_text() == HEADER


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (None, ("[Errno 2]", HEADER.strip())),
        (b"", ("none", HEADER.strip())),
        (b"id,remark\n", ("id,remark", HEADER.strip())),
        (b"\xff\xfe\n", ("0xff", HEADER.strip())),
        (HEADER.encode() + b"a,remove,1,2\n", (" a:", "'remove'", "drop", "fix_label")),
        (HEADER.encode() + b"a,drop,1\n", ("line 2", "4 values")),
        (HEADER.encode() + b"a,drop,1,2,3\n", ("line 2", "4 values")),
        (HEADER.encode() + b"yard_7,drop,1,2\nyard_7,fix_label,1,2\n", ("yard_7",)),
    ],
)
def test_a_damaged_review_is_one_clear_error(tmp_path: Path, content: bytes | None, named: tuple[str, ...]) -> None:
    path = tmp_path / "review.csv"
    if content is not None:
        path.write_bytes(content)
    with raises(DatasetError, path, *named):
        read_review(path)


def test_a_remark_holds_for_the_files_that_were_looked_at(capsys: pytest.CaptureFixture[str]) -> None:
    remarks = [
        Remark("a", "drop", "a-i", "a-m"),
        Remark("yard_7", "fix_label", "yard_7-i", "an older mask"),
        Remark("gone", "drop", "1", "2"),
    ]
    assert valid_verdicts(remarks, [sample("a"), sample("yard_7")]) == {"a": "drop"}
    changed, unknown = capsys.readouterr().out.splitlines()
    assert all(value in changed for value in ("yard_7", "fix_label"))
    assert all(value in unknown for value in ("gone", "drop"))
