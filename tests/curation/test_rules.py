from pipeline.curation.rules import (
    RULES,
    nothing_labelled,
    objection,
    size_mismatch,
    unknown_ids,
    unreadable_image,
    unreadable_mask,
)
from tests.curation.measured import measurement, sample

GOOD = measurement({0: 20, 1: 8, 255: 4})
NO_IMAGE = GOOD._replace(image="a.jpg cannot be read: truncated")
NO_MASK = GOOD._replace(mask="a.png cannot be read: truncated")


def test_nothing_to_object_to_a_good_sample() -> None:
    assert [rule(GOOD, 2) for rule in RULES.values()] == [None] * 5
    assert objection(sample("a", "train"), GOOD, 2) is None


def test_unreadable_image() -> None:
    assert unreadable_image(NO_IMAGE, 2) == "a.jpg cannot be read: truncated"
    assert unreadable_image(NO_MASK, 2) is None


def test_unreadable_mask() -> None:
    assert unreadable_mask(NO_MASK, 2) == "a.png cannot be read: truncated"
    assert unreadable_mask(NO_IMAGE, 2) is None


def test_size_mismatch() -> None:
    assert size_mismatch(measurement({0: 16}, size=(4, 4)), 2) == "the image is 8 x 4 pixels, its mask 4 x 4"
    assert size_mismatch(NO_IMAGE, 2) is None
    assert size_mismatch(NO_MASK, 2) is None


def test_unknown_ids_are_counted() -> None:
    assert unknown_ids(measurement({0: 28, 2: 3, 254: 1}), 2) == (
        "4 pixels (12 %) hold an id that the table of 2 classes does not know"
    )
    assert unknown_ids(measurement({0: 28, 2: 4}), 3) is None
    assert unknown_ids(NO_MASK, 2) is None


def test_nothing_labelled() -> None:
    assert nothing_labelled(measurement({255: 32}), 2) == "no pixel is labelled: the whole mask is void"
    assert nothing_labelled(measurement({255: 31, 1: 1}), 2) is None
    assert nothing_labelled(NO_MASK, 2) is None


def test_the_first_rule_that_objects_is_the_reason() -> None:
    both = measurement({254: 16}, size=(4, 4))
    rejection = objection(sample("a", "val"), both, 2)
    assert rejection is not None
    assert (rejection.sample.id, rejection.rule) == ("a", "size_mismatch")
    assert list(RULES) == ["unreadable_image", "unreadable_mask", "size_mismatch", "unknown_ids", "nothing_labelled"]
