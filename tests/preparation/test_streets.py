"""The drawn streets: reproducible, street-like, and broken exactly where they say so."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.params.dataset import DatasetParams
from pipeline.preparation.adapter import RawDataset, RawSample
from pipeline.preparation.streets.adapter import STREET_CLASSES, Streets
from pipeline.preparation.streets.broken import UNKNOWN_RAW_ID
from pipeline.preparation.streets.canvas import NEAR, Camera, Canvas, Label, Part, rectangles
from pipeline.preparation.streets.street import Ground, Street

HEIGHT, WIDTH = 96, 128


def draw(out: Path, frames: int, broken: bool, unlabelled: int = 0) -> RawDataset:
    options = Streets.Params(
        height=HEIGHT,
        width=WIDTH,
        train_sequences=6,
        val_sequences=2,
        test_sequences=2,
        unlabelled_sequences=unlabelled,
        frames_per_sequence=frames,
        broken_items=broken,
    )
    return Streets.read(DatasetParams(adapter="streets", source=".", options=options), out)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> RawDataset:
    return draw(tmp_path_factory.mktemp("streets"), frames=3, broken=True)


def good(dataset: RawDataset) -> list[RawSample]:
    return [s for s in dataset.samples if "broken" not in s.id]


def named(dataset: RawDataset, sample_id: str) -> RawSample:
    return next(s for s in dataset.samples if s.id == sample_id)


def mask_of(sample: RawSample) -> Path:
    assert sample.mask is not None
    return sample.mask


def read(path: Path) -> np.ndarray | None:
    data = path.read_bytes()
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if data else None


def read_good(path: Path) -> np.ndarray:
    pixels = read(path)
    assert pixels is not None
    return pixels


def distance(first: Path, second: Path) -> float:
    """Cosine distance of normalized 16 x 16 gray thumbnails."""
    thumbnails = []
    for path in (first, second):
        gray = cv2.cvtColor(read_good(path), cv2.COLOR_BGR2GRAY)
        small = cv2.resize(gray, (16, 16), interpolation=cv2.INTER_AREA).astype(np.float64).ravel()
        small -= small.mean()
        thumbnails.append(small / np.linalg.norm(small))
    return 1 - float(thumbnails[0] @ thumbnails[1])


def test_bytes_do_not_depend_on_what_else_is_drawn(drawn: RawDataset, tmp_path: Path):
    fewer = draw(tmp_path, frames=1, broken=False)
    assert len(fewer.samples) == 10
    for sample in fewer.samples:
        before = named(drawn, sample.id)
        assert sample.image.read_bytes() == before.image.read_bytes()
        assert mask_of(sample).read_bytes() == mask_of(before).read_bytes()


def test_unlabelled_streets_have_no_masks_and_change_no_others(drawn: RawDataset, tmp_path: Path):
    more = draw(tmp_path, frames=1, broken=False, unlabelled=2)
    unlabelled = [sample for sample in more.samples if sample.split == "unlabelled"]
    assert [sample.id for sample in unlabelled] == ["unlabelled_s00_f00", "unlabelled_s01_f00"]
    assert all(sample.mask is None and sample.image.is_file() for sample in unlabelled)
    assert not list((tmp_path / "raw_masks").glob("unlabelled*"))
    same = next(sample for sample in more.samples if sample.split == "test")
    assert same.image.read_bytes() == named(drawn, same.id).image.read_bytes()


def test_frames_may_be_drawn_in_any_order(drawn: RawDataset):
    street = Street("val", 1)
    for frame in (2, 0):
        image, mask = street.frame(frame, HEIGHT, WIDTH)
        sample = named(drawn, f"val_s01_f{frame:02d}")
        np.testing.assert_array_equal(image, read_good(sample.image)[..., ::-1])
        np.testing.assert_array_equal(mask, read_good(mask_of(sample)))


def test_another_seed_is_another_street():
    streets = [Street("train", 0, seed).frame(0, HEIGHT, WIDTH) for seed in (1, 2)]
    assert (streets[0][1] != streets[1][1]).mean() > 0.1


def test_drawing_leaves_the_global_generator_alone():
    draws = []
    for draw_a_street in (False, True):
        np.random.seed(5)
        if draw_a_street:
            Street("test", 0).frame(0, HEIGHT, WIDTH)
        draws.append(np.random.random())
    assert draws[0] == draws[1]


def test_files_are_what_the_list_says(drawn: RawDataset):
    assert len({s.id for s in drawn.samples}) == len(drawn.samples)
    assert {(s.split, s.sequence) for s in good(drawn)} == {
        (split, f"{split}_s{i:02d}") for split, n in (("train", 6), ("val", 2), ("test", 2)) for i in range(n)
    }
    for sample in good(drawn):
        image, mask = read_good(sample.image), read_good(mask_of(sample))
        assert (image.shape, image.dtype) == ((HEIGHT, WIDTH, 3), np.uint8)
        assert (mask.shape, mask.dtype) == ((HEIGHT, WIDTH), np.uint8)
        assert mask.max() <= Label.VOID
    written = {p for s in drawn.samples for p in (s.image, mask_of(s))}
    assert {p for p in written.copy().pop().parents[1].rglob("*") if p.is_file()} == written


def test_every_class_occurs_and_a_few_dominate(drawn: RawDataset):
    masks = [read_good(mask_of(s)) for s in good(drawn) if s.split == "train"]
    shares = np.bincount(np.concatenate(masks).ravel(), minlength=len(Label)) / (len(masks) * HEIGHT * WIDTH)
    assert (shares > 0).all()
    assert shares[[Label.SKY, Label.BUILDING, Label.ROAD]].sum() > 0.5
    assert sorted(shares[: Label.VOID])[:4][-1] < 0.045  # four classes are rare
    assert shares[Label.VOID] < 0.06


def test_the_sky_is_above_and_the_road_below(drawn: RawDataset):
    rows = np.arange(HEIGHT)[:, None]
    for sample in good(drawn):
        mask = read_good(mask_of(sample))
        assert (rows * (mask == Label.ROAD)).sum() / (mask == Label.ROAD).sum() > HEIGHT / 2
        assert not (mask[int(0.65 * HEIGHT) :] == Label.SKY).any()


def test_neighboring_frames_are_alike_and_not_the_same(drawn: RawDataset):
    for sequence in ("train_s00", "train_s03", "val_s00"):
        first, second = (named(drawn, f"{sequence}_f{frame:02d}") for frame in (0, 1))
        changed = (read_good(mask_of(first)) != read_good(mask_of(second))).mean()
        assert 0 < changed < 0.4
        assert (read_good(first.image) != read_good(second.image)).mean() > 0.5


def test_sequences_are_too_different_to_leak(drawn: RawDataset):
    firsts = [s for s in good(drawn) if s.id.endswith("_f00")]
    for i, one in enumerate(firsts):
        for other in firsts[:i]:
            assert distance(one.image, other.image) > 0.02, f"{one.id} and {other.id} are nearly the same"


def test_each_defect_is_there_once(drawn: RawDataset):
    broken = {s.id: s for s in drawn.samples if "broken" in s.id}
    assert sorted(broken) == [
        "test_broken_near_copy_of_train",
        "train_broken_blank_image",
        "train_broken_blurred_image",
        "train_broken_duplicate_of_train",
        "train_broken_empty_image",
        "train_broken_frayed_mask",
        "train_broken_mask_of_other_size",
        "train_broken_nothing_labelled",
        "train_broken_overexposed_image",
        "train_broken_shifted_mask",
        "train_broken_truncated_image",
        "train_broken_unknown_ids",
        "train_broken_unreadable_mask",
        "val_broken_copy_of_train",
    ]
    assert all(s.split == name.split("_")[0] for name, s in broken.items())
    assert broken["train_broken_empty_image"].image.stat().st_size == 0
    assert read(mask_of(broken["train_broken_unreadable_mask"])) is None
    assert read_good(mask_of(broken["train_broken_mask_of_other_size"])).shape != (HEIGHT, WIDTH)
    assert (read_good(mask_of(broken["train_broken_nothing_labelled"])) == Label.VOID).all()
    assert (read_good(mask_of(broken["train_broken_unknown_ids"])) == UNKNOWN_RAW_ID).any()
    data = broken["train_broken_truncated_image"].image.read_bytes()
    assert data.startswith(b"\x89PNG")
    assert b"IEND" not in data


def test_copies_leak_across_splits(drawn: RawDataset):
    train = [s for s in good(drawn) if s.split == "train"]
    copies = {s.image.read_bytes(): s.id for s in train}
    duplicate, copy = (named(drawn, name) for name in ("train_broken_duplicate_of_train", "val_broken_copy_of_train"))
    original = named(drawn, copies[duplicate.image.read_bytes()])
    assert mask_of(duplicate).read_bytes() == mask_of(original).read_bytes()
    assert copy.image.read_bytes() in copies
    near = named(drawn, "test_broken_near_copy_of_train")
    assert near.image.read_bytes() not in copies
    assert min(distance(near.image, s.image) for s in train) < 0.005


def test_defects_of_one_file_have_an_image_of_their_own(drawn: RawDataset):
    """Otherwise curation could drop them as duplicates and never see the defect."""
    images = [s.image.read_bytes() for s in drawn.samples if "copy" not in s.id and "duplicate" not in s.id]
    assert len(set(images)) == len(images)


def test_class_table_maps_what_is_drawn(drawn: RawDataset):
    assert drawn.classes == STREET_CLASSES
    assert STREET_CLASSES.to_train_ids(np.arange(len(Label), dtype=np.uint8)).tolist() == [*range(11), 255]


def test_the_road_lies_where_the_camera_projects_it():
    camera = Camera(focal=100.0, horizon=40.0, center=60.0, height=1.5, offset=1.0)
    canvas, ground = Canvas(camera, 90, 120), Ground(np.random.default_rng(0))
    ground.paint(canvas, 0.0)
    assert not np.isin(canvas.mask[:40], (Label.ROAD, Label.PAVEMENT)).any()
    z = 100 * 1.5 / 6.5  # meters ahead of the camera at row 46
    left, right = camera.project(np.array([[-ground.curb, 0, z], [ground.curb, 0, z]]))[:, 0]
    columns = np.flatnonzero(canvas.mask[46] == Label.ROAD)
    assert (columns[0], columns[-1] + 1) == pytest.approx((left, right), abs=1)
    assert (canvas.mask[46, : columns[0]] == Label.PAVEMENT).all()


def test_only_what_is_ahead_is_painted():
    camera = Camera(focal=100.0, horizon=40.0, center=60.0, height=1.5, offset=0.0)
    canvas = Canvas(camera, 90, 120)
    canvas.paint(Part(rectangles(2.0, (0, 3), (0, 12)), np.full(3, 99.0), Label.ROAD), -20)
    assert (canvas.mask == Label.VOID).all()
    canvas.paint(Part(rectangles(2.0, (0, 3), (0, 12)), np.full(3, 99.0), Label.ROAD), -4)
    whole = canvas.mask.copy()
    canvas.paint(Part(rectangles(2.0, (0, 3), (NEAR, 8)), np.full(3, 99.0), Label.BUILDING))
    assert ((canvas.mask == Label.BUILDING) == (whole == Label.ROAD)).all()
    assert (whole == Label.ROAD).any(axis=0).nonzero()[0][0] == pytest.approx(60 + 100 * 2 / 8, abs=1)
