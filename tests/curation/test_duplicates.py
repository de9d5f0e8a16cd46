import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.curation import duplicates
from pipeline.curation.duplicates import NearPair, compare_splits, near_copies
from tests.curation.measured import thumb

CLOSE = 1 - np.cos(np.deg2rad(2.5))  # fingerprints up to 2.5 degrees apart are one


def test_finds_near_duplicates_across_splits_only() -> None:
    fingerprints = [
        thumb("t0", "train", 0),
        thumb("t1", "train", 1),
        thumb("v0", "val", 2),
        thumb("e0", "test", 90),
    ]
    train_val, train_test, val_test = compare_splits(fingerprints, CLOSE)
    assert (train_val.name, train_val.pair_count) == ("train/val", 2)
    assert [(p.earlier.id, p.later.id) for p in train_val.leaking] == [("t1", "v0")]
    assert train_val.leaking[0].distance == pytest.approx(1 - np.cos(np.deg2rad(1)), abs=1e-6)
    assert (train_test.name, train_test.pair_count, train_test.leaking) == ("train/test", 0, [])
    assert [(p.earlier.id, p.later.id) for p in val_test.nearest] == [("v0", "e0")]


def test_equal_pixels_are_one_image_at_any_distance() -> None:
    flat = np.zeros(2, dtype=np.float32)
    fingerprints = [thumb("t", "train", 0, image="i"), thumb("v", "val", 0, image="i")]
    fingerprints = [item._replace(thumbnail=flat) for item in fingerprints]
    (pair,) = compare_splits(fingerprints, 0.0)
    assert pair.leaking == [NearPair(fingerprints[0].sample, fingerprints[1].sample, 0.0)]


def test_images_that_show_nothing_are_not_one_image() -> None:
    flat = np.zeros(2, dtype=np.float32)
    fingerprints = [
        thumb("t", "train", 0)._replace(thumbnail=flat),
        thumb("v", "val", 0)._replace(thumbnail=flat),
    ]
    (pair,) = compare_splits(fingerprints, 0.5)
    assert pair.leaking == []


def test_the_distance_itself_is_not_below() -> None:
    fingerprints = [thumb("t", "train", 0), thumb("v", "val", 90)]
    assert compare_splits(fingerprints, 1.0)[0].pair_count == 0
    assert compare_splits(fingerprints, 1.01)[0].pair_count == 1


def test_sequences_that_splits_share() -> None:
    fingerprints = [
        thumb("t", "train", 0, "x"),
        thumb("v", "val", 90, "x"),
        thumb("e", "test", 180, "y"),
    ]
    assert [pair.shared_sequences for pair in compare_splits(fingerprints, CLOSE)] == [["x"], [], []]


def test_one_split_has_nothing_to_compare() -> None:
    assert compare_splits([thumb("a", "train", 0), thumb("b", "train", 0)], CLOSE) == []


def test_within_a_split_the_first_stays() -> None:
    fingerprints = [
        thumb("a", "train", 0),
        thumb("b", "train", 1),
        thumb("c", "train", 90),
        thumb("d", "train", 91),
    ]
    assert [(near.earlier.id, near.later.id) for near in near_copies(fingerprints, CLOSE)] == [("a", "b"), ("c", "d")]


def test_of_a_slow_drive_a_frame_stays_as_soon_as_it_is_far_enough_from_the_last_that_did() -> None:
    drive = [thumb(f"f{degree}", "train", degree) for degree in range(10)]
    gone = {near.later.id for near in near_copies(drive, CLOSE)}
    assert [frame.sample.id for frame in drive if frame.sample.id not in gone] == ["f0", "f3", "f6", "f9"]


@given(angles=st.lists(st.integers(0, 359), min_size=1, max_size=12), block=st.integers(1, 5))
def test_near_copies_by_definition(angles: list[int], block: int) -> None:
    fingerprints = [thumb(f"l{i}", "train", angle) for i, angle in enumerate(angles)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(duplicates, "BLOCK", block)
        found = near_copies(fingerprints, CLOSE)
    stay: list[int] = []
    for index, angle in enumerate(angles):
        if all(min(abs(angle - angles[s]), 360 - abs(angle - angles[s])) > 2 for s in stay):
            stay.append(index)
    assert {near.later.id for near in found} == {f"l{i}" for i in range(len(angles)) if i not in stay}
    assert all(near.earlier.id in {f"l{s}" for s in stay} for near in found)


@given(
    train=st.lists(st.integers(0, 359), min_size=1, max_size=9),
    val=st.lists(st.integers(0, 359), min_size=1, max_size=9),
    block=st.integers(1, 4),
)
def test_blocks_change_nothing_and_agree_with_all_pairs(train: list[int], val: list[int], block: int) -> None:
    fingerprints = [thumb(f"t{i}", "train", a) for i, a in enumerate(train)] + [
        thumb(f"v{i}", "val", a) for i, a in enumerate(val)
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(duplicates, "BLOCK", block)
        (pair,) = compare_splits(fingerprints, CLOSE)
    apart = [[min(abs(v - t), 360 - abs(v - t)) for t in train] for v in val]
    assert pair.pair_count == sum(a <= 2 for row in apart for a in row)
    assert {p.later.id for p in pair.leaking} == {f"v{i}" for i, row in enumerate(apart) if min(row) <= 2}
    assert [p.distance for p in pair.nearest] == pytest.approx(
        sorted(1 - np.cos(np.deg2rad(min(row))) for row in apart), abs=2e-6
    )
