from pathlib import Path

import pytest

from pipeline.curation.curate import valid_verdicts
from pipeline.curation.review import Remark, read_review, write_review
from pipeline.errors import DatasetError
from tests.curation.measured import sample

HEADER = "id,verdict,image_sha256,mask_sha256\n"


def test_a_review_comes_back_sorted(tmp_path: Path) -> None:
    remarks = [Remark("b, c", "fix_label", "1", "2"), Remark("a", "drop", "3", "")]
    write_review(tmp_path / "review.csv", remarks)
    assert read_review(tmp_path / "review.csv") == remarks[::-1]
    write_review(tmp_path / "review.csv", [])
    assert (tmp_path / "review.csv").read_text() == HEADER


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "cannot read .*review.csv.*holds one line: id,verdict"),
        (b"", "columns none"),
        (b"id,verdict\n", "columns"),
        (b"\xff\xfe\n", "cannot read"),
        (HEADER.encode() + b"a,remove,1,2\n", "a: 'remove'; a verdict is drop or fix_label"),
        (HEADER.encode() + b"a,drop,1\n", "line 2: 4 values are needed"),
        (HEADER.encode() + b"a,drop,1,2,3\n", "line 2: 4 values are needed"),
        (HEADER.encode() + b"a,drop,1,2\na,fix_label,1,2\n", "more than one remark about a"),
    ],
)
def test_a_damaged_review_is_one_clear_error(tmp_path: Path, content: bytes | None, complaint: str) -> None:
    path = tmp_path / "review.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DatasetError, match=complaint):
        read_review(path)


def test_a_remark_holds_for_the_files_that_were_looked_at(capsys: pytest.CaptureFixture[str]) -> None:
    remarks = [
        Remark("a", "drop", "a-i", "a-m"),
        Remark("b", "fix_label", "b-i", "an older mask"),
        Remark("gone", "drop", "1", "2"),
    ]
    assert valid_verdicts(remarks, [sample("a"), sample("b")]) == {"a": "drop"}
    assert capsys.readouterr().out.splitlines() == [
        "review: b has changed since it was tagged fix_label, and is used again",
        "review: gone is not in the dataset; its remark drop does nothing",
    ]
