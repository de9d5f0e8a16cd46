import pytest

from pipeline.curation.review import Files, Remark, split_remarks
from pipeline.errors import DatasetError
from pipeline.inspection.review_merge import Verdicts, merge, merged_review, unapplied, verdicts_in
from tests.raising import raises

FILES = {name: Files(f"image {name}", f"mask {name}") for name in "abc"}


def says(**verdicts: str) -> Verdicts:
    return {(name, verdict) for name, given in verdicts.items() for verdict in given.split()}


def remark(name: str, verdict: str) -> Remark:
    return Remark(name, verdict, *FILES[name])


@pytest.mark.parametrize(
    ("app", "base", "file", "expected"),
    [
        (says(a="drop"), says(), says(), says(a="drop")),  # given in the App
        (says(), says(a="drop"), says(a="drop"), says()),  # taken away in the App
        (says(), says(), says(a="drop"), says(a="drop")),  # new in the file
        (says(a="drop"), says(a="drop"), says(), says()),  # taken out of the file
        (says(a="fix_label"), says(a="drop"), says(a="drop"), says(a="fix_label")),
        (says(a="fix_label"), says(), says(a="drop"), says(a="fix_label")),  # both changed: the App's
        (says(a="drop", b="drop"), says(b="drop"), says(b="fix_label"), says(a="drop", b="fix_label")),
    ],
)
def test_the_apps_verdict_stands_where_it_was_changed_there(
    app: Verdicts, base: Verdicts, file: Verdicts, expected: Verdicts
) -> None:
    assert merge(app, base, file) == expected


def test_only_verdicts_are_found_among_tags() -> None:
    assert verdicts_in({"a": ["train", "drop", "later"], "b": ["train"]}) == says(a="drop")


def test_changes_are_named() -> None:
    assert unapplied(says(a="drop", b="drop"), says(b="drop", c="fix_label")) == {"a", "c"}


def test_remarks_are_sorted_by_what_they_are_about() -> None:
    old = Remark("b", "drop", "image b", "another mask")
    gone = Remark("z", "drop", "", "")
    assert split_remarks([gone, old, remark("a", "drop")], FILES) == ([remark("a", "drop")], [old], [gone])


def test_remarks_about_other_files_stay_until_something_new_is_said() -> None:
    old = Remark("b", "drop", "image b", "another mask")
    gone = Remark("z", "drop", "", "")
    assert merged_review([gone, old], says(), says(), FILES) == [old, gone]
    assert merged_review([gone, old], says(b="fix_label"), says(), FILES) == [remark("b", "fix_label"), gone]


def test_both_verdicts_are_refused() -> None:
    with raises(DatasetError, "drop", "fix_label", "a, c"):
        merged_review([], says(c="drop fix_label", b="drop", a="fix_label drop"), says(), FILES)
