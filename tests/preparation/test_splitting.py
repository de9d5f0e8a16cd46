"""Whole sequences to each split."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import DatasetError
from pipeline.preparation.prepare import assign_splits
from tests.raising import raises

SHARES = {"train": 0.7, "val": 0.2, "test": 0.1}

sequences = st.dictionaries(st.text(min_size=1, max_size=6), st.integers(1, 200), min_size=3, max_size=40)


@st.composite
def shares(draw: st.DrawFn) -> dict[str, float]:
    """Of train, val and test; the latter two may be 0."""
    val = draw(st.floats(0.05, 0.45) | st.just(0.0))
    test = draw(st.floats(0.05, 0.45) | st.just(0.0))
    return {"train": 1 - val - test, "val": val, "test": test}


@given(sequences, shares(), st.integers(0, 9))
def test_every_sequence_is_in_one_split_and_every_split_has_one(
    sequences: dict[str, int], shares: dict[str, float], seed: int
) -> None:
    assigned = assign_splits(sequences, shares, seed)
    assert assigned.keys() == sequences.keys()
    assert set(assigned.values()) == {split for split, share in shares.items() if share > 0}


@given(sequences, shares(), st.integers(0, 9))
def test_shares_are_met_as_far_as_whole_sequences_allow(
    sequences: dict[str, int], shares: dict[str, float], seed: int
) -> None:
    assigned = assign_splits(sequences, shares, seed)
    largest, total = max(sequences.values()), sum(sequences.values())
    frames = Counter[str]()
    for name, split in assigned.items():
        frames[split] += sequences[name]
    for split, share in shares.items():
        # None gets more than a sequence too many, so that a split lacks no more than the others have too many.
        assert frames[split] <= share * total + largest + 1e-6
        assert frames[split] >= share * total - (len(shares) - 1) * largest - 1e-6


@given(sequences, shares(), st.integers(0, 9), st.randoms())
def test_neither_order_nor_chance_has_a_say(
    sequences: dict[str, int], shares: dict[str, float], seed: int, random
) -> None:
    names = list(sequences)
    random.shuffle(names)
    shuffled = {name: sequences[name] for name in names}
    assert assign_splits(shuffled, shares, seed) == assign_splits(sequences, shares, seed)


def test_many_small_sequences_come_close() -> None:
    assigned = assign_splits({f"s{number}": 5 for number in range(100)}, SHARES, seed=0)
    assert Counter(assigned.values()) == {"train": 70, "val": 20, "test": 10}


def test_another_seed_is_another_division() -> None:
    sequences = {f"s{number}": 1 for number in range(40)}
    assert assign_splits(sequences, SHARES, 0) != assign_splits(sequences, SHARES, 1)


def test_as_many_sequences_as_splits() -> None:
    assert sorted(assign_splits({"a": 1, "b": 1000, "c": 1}, SHARES, 0).values()) == ["test", "train", "val"]


def test_too_few_sequences() -> None:
    with raises(DatasetError, "2 sequence", "(a, b)", "train, val,", "dataset.options.sequence_pattern"):
        assign_splits({"b": 10, "a": 10}, SHARES, 0)
    assert assign_splits({"a": 10}, {"train": 1.0, "val": 0.0, "test": 0.0}, 0) == {"a": "train"}
