"""Files on disk: never half-written, and images that are what they must be."""

import errno
import os
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.code_digest import ROOT
from pipeline.data.classes import ClassTable, LabelClass
from pipeline.data.crops import BatchShard, CropDataset, crop_batches, crop_dataset, report_lost_workers
from pipeline.data.dataset import evaluation_batches
from pipeline.data.files import DiskFull, replacing, sha256, write_json, write_text
from pipeline.data.images import ImageError, read_image, read_mask, read_train_ids
from pipeline.data.samples import Sample, read_samples, write_samples
from pipeline.errors import DatasetError, MachineError
from pipeline.params.tree import load_params
from tests.raising import raises
from tests.toy import TOY_CLASSES, write_toy_samples


def test_a_failure_keeps_the_old_file_and_leaves_no_other(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.txt"
    write_text(path, "old")
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("ne")
        raise RuntimeError
    assert path.read_text() == "old"
    assert os.listdir(path.parent) == ["file.txt"]


def test_a_full_disk_says_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with raises(DiskFull, tmp_path / "file.txt"):
        write_text(tmp_path / "file.txt", "text")
    assert os.listdir(tmp_path) == []


def test_json_refuses_what_json_cannot_say(tmp_path: Path) -> None:
    with raises(ValueError, "nan"):
        write_json(tmp_path / "x.json", {"miou": float("nan")})
    assert not (tmp_path / "x.json").exists()


def test_sha256_is_the_usual_one(tmp_path: Path) -> None:
    write_text(tmp_path / "x", "abc")
    assert sha256(tmp_path / "x") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize("mode", ["RGBA", "I;16", "RGB", "1"])
def test_a_mask_is_one_channel_of_eight_bits(tmp_path: Path, mode: str) -> None:
    Image.new(mode, (4, 4)).save(tmp_path / "mask.png")
    with raises(ImageError, tmp_path / "mask.png", f" {mode};", "8 bits"):
        read_mask(tmp_path / "mask.png")


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_mask_of_colors_is_read_by_the_class_table(tmp_path: Path, mode: str) -> None:
    a, b, void, void_too, path = (9, 8, 7), (7, 8, 9), (0, 0, 0), (255, 0, 255), tmp_path / "mask.png"
    table = ClassTable("t", (LabelClass("a", a, (4, 5)), LabelClass("b", b, (0,))), (200, 9), (void, void_too))
    colors = np.array([[a, b, void], [void_too, b, a]], dtype=np.uint8)
    Image.fromarray(colors).convert(mode).save(path)
    assert read_mask(path, classes=table).tolist() == [[4, 0, 200], [200, 0, 4]]
    assert read_train_ids(path, table).tolist() == [[0, 1, 255], [255, 1, 0]]
    colors[1] = (9, 9, 9), (1, 2, 3), (9, 9, 9)
    Image.fromarray(colors).convert(mode).save(path)
    with raises(ImageError, path, "2 colors", "2 pixels", "1 pixel") as caught:
        read_train_ids(path, table)
    assert re.search(r"\[9, 9, 9\] \w+ 2 .*\[1, 2, 3\] \w+ 1 ", str(caught.value))


def test_a_color_that_is_not_opaque_is_none_of_the_table(tmp_path: Path) -> None:
    Image.new("RGBA", (2, 2), (90, 90, 90, 128)).save(tmp_path / "mask.png")
    with raises(ImageError, tmp_path / "mask.png", "1 color", "4 pixels") as caught:
        read_train_ids(tmp_path / "mask.png", TOY_CLASSES)
    assert "[90, 90, 90, 128]" in str(caught.value)


def test_palette_masks_give_their_indices(tmp_path: Path) -> None:
    mask = Image.fromarray(np.arange(16, dtype=np.uint8).reshape(4, 4)).convert("P")
    mask.putpalette([7] * 768)
    mask.save(tmp_path / "mask.png")
    assert read_mask(tmp_path / "mask.png").shape == (4, 4)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK"])
def test_any_eight_bit_picture_becomes_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("a.jpg" if mode == "CMYK" else "a.png")
    Image.new(mode, (5, 4)).save(path)
    assert read_image(path).shape == (4, 5, 3)


def test_deep_pictures_are_not_clipped_silently(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4), 40_000, dtype=np.uint16)).save(tmp_path / "deep.png")
    with raises(ImageError, tmp_path / "deep.png", "I;16", "8 bits"):
        read_image(tmp_path / "deep.png")


def test_a_sample_list_comes_back_as_it_was_written(tmp_path: Path) -> None:
    samples = [Sample("a,b", "train", 's"1', Path("x y/ü.png"), Path("m.png"), "1", "2")]
    write_samples(tmp_path / "samples.csv", samples)
    assert read_samples(tmp_path / "samples.csv") == samples
    with raises(DatasetError, tmp_path / "samples.csv", "'val'"):
        read_samples(tmp_path / "samples.csv", "val")


def test_a_sample_list_does_not_say_where_its_dataset_lies(tmp_path: Path) -> None:
    lists = []
    for source in (Path("/mnt/one"), Path("../another")):
        samples = [
            Sample("a", "train", "a", source / "i/a.png", source / "m/a.png", "1", "2"),
            Sample("b", "unlabelled", "b", source / "i/b.png", None, "3", ""),
        ]
        write_samples(tmp_path / "samples.csv", samples, source)
        assert read_samples(tmp_path / "samples.csv") == samples
        lists.append((tmp_path / "samples.csv").read_bytes())
    assert lists[0] == lists[1]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("id,part\n", ("id,part", "id,split,sequence,image,mask,image_sha256,mask_sha256")),
        ("id,split,sequence,image,mask,image_sha256,mask_sha256\na,dev,s,i,m,1,2\n", ("split dev", "unlabelled")),
    ],
)
def test_a_foreign_sample_list_is_refused(tmp_path: Path, text: str, named: tuple[str, ...]) -> None:
    (tmp_path / "samples.csv").write_text(text)
    with raises(DatasetError, tmp_path / "samples.csv", *named):
        read_samples(tmp_path / "samples.csv")


def _crops(samples: Path) -> CropDataset:
    training = load_params(ROOT / "params.yaml").training
    return crop_dataset(read_samples(samples, "train"), TOY_CLASSES, training, 0, samples.parent)


def test_a_small_shared_memory_is_named_before_the_workers_die(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.statvfs("/")
    monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result((*real[:3], 1, 1, *real[5:])))
    with raises(MachineError, "/dev/shm", "0 MB", "training.workers"):
        next(crop_batches(_crops(write_toy_samples(tmp_path)), BatchShard(4), 0, 2, workers=2))


def test_a_sample_that_vanished_is_one_message_also_from_a_worker(tmp_path: Path) -> None:
    crops = _crops(write_toy_samples(tmp_path))
    for sample in crops.samples:
        sample.image.unlink()
    with raises(ImageError, "[Errno 2]") as raised, report_lost_workers():
        next(crop_batches(crops, BatchShard(2), 0, 2, workers=1))
    assert re.search(r"image_\d\.png", str(raised.value))
    assert "Traceback" not in str(raised.value)


def test_evaluation_sees_every_image_once_and_never_mixes_sizes(tmp_path: Path) -> None:
    samples = read_samples(write_toy_samples(tmp_path))
    with Image.open(samples[3].image) as file:
        file.resize((32, 32)).save(samples[3].image)
    samples[3] = samples[3]._replace(image_sha256=sha256(samples[3].image))
    batches = list(evaluation_batches(samples, 2))
    assert [sample_id for batch in batches for sample_id in batch.ids] == [sample.id for sample in samples]
    assert max(len(batch.ids) for batch in batches) == 2
    assert [len(batch.ids) for batch in batches][:3] == [2, 1, 1]
