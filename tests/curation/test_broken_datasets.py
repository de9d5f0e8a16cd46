"""Every kind of broken dataset ends in decisions with reasons, or in one clear error: before anything is trained."""

import errno
import os
import resource
import shutil
import socket
import subprocess
import sys
import unicodedata
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

import cv2
import numpy as np
import pytest
from ruamel.yaml import YAML

from pipeline.code_digest import ROOT
from pipeline.curation.curate import curate_dataset
from pipeline.curation.review import Remark, write_review
from pipeline.data.files import sha256
from pipeline.data.samples import Decision, read_decisions, read_samples
from pipeline.errors import DatasetError
from pipeline.params.dataset import CurationParams, DatasetParams
from pipeline.params.tree import Params, load_params
from pipeline.preparation.prepare import prepare_dataset
from tests.curation import broken_files as broken
from tests.curation.broken_files import add, disguise, redraw, relabel, rewrite, save, scene
from tests.raising import raises

FRAMES = {"train": "abcd", "val": "ef", "test": "gh"}
IMAGE, MASK = "images/train/a.png", "masks/train/a.png"
CLASSES = """\
classes:
  - {name: low, color: [128, 64, 128], ids: [1]}
  - {name: middle, color: [0, 0, 142], ids: [2]}
  - {name: high, color: [0, 142, 0], ids: [3]}
void: [0]
"""
MEMORY_KB = 400_000
"""By which no broken file may let the process grow."""


@dataclass(frozen=True)
class Kept:
    """All samples may be used, whatever is remarked about them."""


@dataclass(frozen=True)
class Warned:
    """Kept, and said."""

    rule: str
    value: str = ""
    sample: str = "train_a"


@dataclass(frozen=True)
class Dropped:
    rule: str
    value: str = ""
    sample: str = "train_a"


class Refused:
    """One error that names these values, and not the one that is `unnamed`."""

    def __init__(self, *named: str, unnamed: str = ""):
        self.named = named
        self.unnamed = unnamed


class Kind(NamedTuple):
    name: str
    damage: Callable[[Path], object]  # takes the dataset's folder
    expected: Kept | Warned | Dropped | Refused
    when: Literal["at first", "between the stages"] = "at first"


def classes(text: str) -> Callable[[Path], object]:
    return lambda root: (root / "classes.yaml").write_text(text)


def class_lines(*lines: str, void: str = "[0]") -> Callable[[Path], object]:
    return classes("classes:\n" + "".join(f"  - {line}\n" for line in lines) + f"void: {void}\n")


LOW, MIDDLE, HIGH = (line.removeprefix("  - ") for line in CLASSES.splitlines()[1:4])

BILLION_LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


def all_masks(root: Path) -> list[Path]:
    return sorted(root.glob("masks/*/*.png"))


def listen(path: Path) -> None:
    """A socket, bound by a short name: the paths of sockets may not be long."""
    path.unlink()
    before = Path.cwd()
    os.chdir(path.parent)
    try:
        socket.socket(socket.AF_UNIX).bind(path.name)
    finally:
        os.chdir(before)


def deep_color(path: Path) -> None:
    pixels = cv2.imread(str(path))
    assert pixels is not None
    cv2.imwrite(str(path), pixels.astype(np.uint16) * 257)


def cut_jpeg_with_an_end(path: Path) -> None:
    redraw(path, lambda picture: picture, ".jpg")
    rewrite(path.with_suffix(".jpg"), lambda content: content[: len(content) // 2] + b"\xff\xd9")


def thin(root: Path, height: int, width: int) -> None:
    random = np.random.default_rng(0)
    save(random.integers(0, 256, (height, width, 3), dtype=np.uint8), root / IMAGE)
    save(random.integers(1, 4, (height, width), dtype=np.uint8), root / MASK)


FILES = [
    Kind("empty image", lambda r: (r / IMAGE).write_bytes(b""), Dropped("unreadable_image", "0 bytes")),
    Kind("empty mask", lambda r: (r / MASK).write_bytes(b""), Dropped("unreadable_mask", "0 bytes")),
    Kind("text for an image", lambda r: (r / IMAGE).write_text("hi"), Dropped("unreadable_image", "pillow")),
    Kind("text for a mask", lambda r: (r / MASK).write_text("hi"), Dropped("unreadable_mask", "pillow")),
    Kind(
        "truncated JPEG",
        lambda r: (
            redraw(r / IMAGE, lambda p: p, ".jpg"),
            rewrite((r / IMAGE).with_suffix(".jpg"), lambda content: content[: len(content) // 2]),
        ),
        Dropped("truncated_image", "JPEG"),
    ),
    Kind(
        "truncated progressive JPEG",
        lambda r: (
            redraw(r / IMAGE, lambda p: p, ".jpg", progressive=True),
            rewrite((r / IMAGE).with_suffix(".jpg"), lambda content: content[:-9]),
        ),
        Dropped("truncated_image", "JPEG"),
    ),
    Kind("truncated PNG image", lambda r: rewrite(r / IMAGE, lambda c: c[:-100]), Dropped("truncated_image", "PNG")),
    Kind("truncated PNG mask", lambda r: rewrite(r / MASK, lambda c: c[:-100]), Dropped("truncated_mask", "PNG")),
    Kind(
        "nothing but a header",
        lambda r: rewrite(r / IMAGE, lambda c: c[:33]),
        Dropped("unreadable_image", "pillow"),
    ),
    Kind("half a header", lambda r: rewrite(r / IMAGE, lambda c: c[:20]), Dropped("unreadable_image", "pillow")),
    Kind("flipped bit in an image", lambda r: rewrite(r / IMAGE, broken.flip_bit), Dropped("truncated_image", "IDAT")),
    Kind("flipped bit in a mask", lambda r: rewrite(r / MASK, broken.flip_bit), Dropped("truncated_mask", "IDAT")),
    Kind("hole in an image", lambda r: rewrite(r / IMAGE, broken.blank_out), Dropped("truncated_image", "IDAT")),
    Kind("PNG called .jpg", lambda r: (r / IMAGE).rename(r / "images/train/a.jpg"), Warned("wrong_suffix", "PNG")),
    Kind("JPEG called .png", lambda r: disguise(r / IMAGE, "JPEG"), Warned("wrong_suffix", "JPEG")),
    Kind("JPEG mask called .png", lambda r: disguise(r / MASK, "JPEG"), Dropped("lossy_mask", "JPEG")),
    Kind("TIFF mask called .png", lambda r: disguise(r / MASK, "TIFF"), Warned("wrong_suffix", "TIFF")),
    Kind("WebP mask called .png", lambda r: disguise(r / MASK, "WEBP"), Dropped("unknown_colors", "2, 2]")),
    Kind(
        "damaged AVIF",
        lambda r: (disguise(r / IMAGE, "AVIF"), rewrite(r / IMAGE, lambda c: c[:300] + b"\0" * 900)),
        Dropped("truncated_image", "AVIF"),
    ),
    Kind(
        "AVIF without a picture",
        lambda r: (disguise(r / IMAGE, "AVIF"), rewrite(r / IMAGE, lambda c: c.replace(b"av01", b"av99"))),
        Dropped("unreadable_image", "pillow"),
    ),
    Kind("16-bit image", lambda r: redraw(r / IMAGE, lambda p: p.convert("I;16")), Dropped("unusable_mode", "I;16")),
    Kind("16-bit color image", lambda r: deep_color(r / IMAGE), Kept()),
    Kind("16-bit mask", lambda r: relabel(r / MASK, lambda m: m.astype(np.uint16)), Dropped("unusable_mode", "I;16")),
    Kind("float image", lambda r: redraw(r / IMAGE, lambda p: p.convert("F"), ".tif"), Dropped("unusable_mode", "F")),
    Kind("a program that draws", lambda r: disguise(r / IMAGE, "EPS"), Dropped("unreadable_image", "EPS")),
    Kind("palette mask", lambda r: disguise(r / MASK, "GIF"), Warned("wrong_suffix", "GIF")),
    Kind("palette image", lambda r: redraw(r / IMAGE, lambda p: p.quantize(200)), Warned("converted_mode", " P,")),
    *(
        Kind(
            f"{mode} mask",
            lambda r, mode=mode: redraw(r / MASK, lambda p: p.convert(mode)),
            Dropped(rule, named),
        )
        for mode, rule, named in (
            ("LA", "unusable_mode", " LA;"),
            ("1", "unusable_mode", " 1;"),
            ("RGB", "unknown_colors", "[1, 1, 1]"),
            ("RGBA", "unknown_colors", "[1, 1, 1]"),
        )
    ),
    *(
        Kind(
            f"{mode} image",
            lambda r, mode=mode: redraw(r / IMAGE, lambda p: p.convert(mode)),
            Warned("converted_mode", f" {mode},"),
        )
        for mode in ("L", "LA", "RGBA")
    ),
    Kind(
        "CMYK JPEG", lambda r: redraw(r / IMAGE, lambda p: p.convert("CMYK"), ".jpg"), Warned("converted_mode", "CMYK")
    ),
    *(
        Kind(
            f"animated {kind}",
            lambda r, kind=kind, suffix=suffix: broken.animate(r / IMAGE, kind, suffix),
            Dropped("unusable_mode", "animation"),
        )
        for kind, suffix in (("GIF", ".gif"), ("PNG", ".png"), ("TIFF", ".tif"), ("WEBP", ".webp"), ("AVIF", ".avif"))
    ),
    Kind("a camera's JPEG with a preview", lambda r: broken.animate(r / IMAGE, "MPO", ".jpg"), Kept()),
    *(
        Kind(
            f"EXIF orientation {number}",
            lambda r, number=number: broken.with_exif(r / IMAGE, number),
            Dropped("rotated", f"orientation {number}"),
        )
        for number in (3, 6, 8)
    ),
    *(
        Kind(
            f"EXIF orientation {number}, which is none",
            lambda r, number=number: broken.with_exif(r / IMAGE, number),
            Kept(),
        )
        for number in (0, 1, 99)
    ),
    Kind(
        "corrupt EXIF",
        lambda r: rewrite(r / IMAGE, lambda c: broken.insert_chunk(c, b"eXIf", b"MM\0*\xff\xff")),
        Kept(),
    ),
    Kind(
        "JPEG that was cut and closed", lambda r: cut_jpeg_with_an_end(r / IMAGE), Kept()
    ),  # grey below, as decoders do
    Kind(
        "bomb",
        lambda r: (r / IMAGE).write_bytes(broken.png_that_claims(60_000, 60_000)),
        Dropped("too_large", "3600000000 pixels"),
    ),
    Kind(
        "bomb for a mask",
        lambda r: (r / MASK).write_bytes(broken.png_that_claims(60_000, 60_000)),
        Dropped("too_large", "3600000000 pixels"),
    ),
    Kind(
        "just too large",
        lambda r: (r / IMAGE).write_bytes(broken.png_that_claims(12_000, 12_000)),
        Dropped("too_large", "12000 x 12000"),
    ),
    Kind(
        "zero pixels wide",
        lambda r: (r / IMAGE).write_bytes(broken.png_that_claims(0, 9)),
        Dropped("unreadable_image", "pillow"),
    ),
    Kind(
        "a text that unpacks to 64 MB",
        lambda r: rewrite(
            r / IMAGE, lambda c: broken.insert_chunk(c, b"zTXt", b"x\0\0" + zlib.compress(bytes(1 << 26)))
        ),
        Dropped("unreadable_image", "MAX_TEXT_CHUNK"),
    ),
    Kind(
        "a color profile that unpacks to 64 MB",
        lambda r: rewrite(
            r / IMAGE, lambda c: broken.insert_chunk(c, b"iCCP", b"x\0\0" + zlib.compress(bytes(1 << 26)))
        ),
        Dropped("unreadable_image", "MAX_TEXT_CHUNK"),
    ),
    Kind("one pixel", lambda r: thin(r, 1, 1), Dropped("blank", "0.00")),
    Kind("one pixel high", lambda r: thin(r, 1, 40_000), Kept()),
    Kind("one pixel wide", lambda r: thin(r, 40_000, 1), Kept()),
]

NAMES = [
    *(
        Kind(f"name with {what}", lambda r, name=name: add(r, f"train/{name}"), Kept())
        for what, name in (
            ("spaces", "  two  words "),
            ("umlauts", "Straße über"),
            ("commas", "a,b,"),
            ("quotes", "\"a\" 'b'"),
            ("bars", "a | b"),
            ("a backslash", "a\\b"),
            ("a dash in front", "-rf"),
            ("nothing for a file name", "ä"),
            ("markup", "<b>&amp;"),
            ("250 bytes", "x" * 250),
            ("a trailing dot", "a."),
            ("emoji", "\N{GRINNING FACE}"),
            ("percent signs", "%s%n"),
        )
    ),
    *(
        Kind(
            f"name with {what}",
            lambda r, name=name: add(r, f"train/{name}"),
            Refused("1 name", "images/train", ascii(f"{name}.png")),
        )
        for what, name in (("a line break", "a\n"), ("a return", "a\r"), ("a tab", "a\t"), ("an escape", "a\x1b"))
    ),
    Kind("folder of 250 bytes", lambda r: add(r, f"train/{'y' * 250}/{'x' * 250}"), Kept()),
    Kind(
        "one name in two Unicode forms",
        lambda r: (
            add(r, f"train/{unicodedata.normalize('NFC', 'café')}", 998),
            add(r, f"train/{unicodedata.normalize('NFD', 'café')}", 999),
        ),
        Kept(),
    ),
    Kind("names that differ in case", lambda r: (add(r, "train/A", 998), add(r, "train/B", 999)), Kept()),
    Kind(
        "a mask in another Unicode form",
        lambda r: (add(r, "train/café"), (r / "masks/train/café.png").rename(r / "masks/train/cafe\u0301.png")),
        Refused("1 mask", "masks/train", "NFC", "NFD", r"'caf\xe9.png'"),
    ),
    Kind(
        "no text",
        lambda r: broken.with_name_that_is_no_text(r / IMAGE),
        Refused("1 name", "images/train", "UTF-8", r"'caf\udce9.png'"),
    ),
    Kind(
        "duplicated stems",
        lambda r: save(scene(9)[0], r / "images/train/a.jpg"),
        Refused("1 image", "images/train", "a.jpg", "a.png"),
    ),
    Kind(
        "hidden files and litter",
        lambda r: [(r / f"images/train/{name}").write_bytes(b"x") for name in (".DS_Store", "._a.png", "Thumbs.db")],
        Kept(),
    ),
    Kind(
        "a note among the images",
        lambda r: (r / "images/train/notes.txt").write_text("x"),
        Refused("1 file", "images/train", "notes.txt"),
    ),
]

TREES = [
    Kind(
        "mask without image",
        lambda r: (r / IMAGE).unlink(),
        Refused("1 mask", "masks/train", "images/train", "a.png"),
    ),
    Kind(
        "image without mask", lambda r: (r / MASK).unlink(), Refused("1 image", "images/train", "masks/train", "a.png")
    ),
    Kind(
        "folder for an image", lambda r: broken.replace_by_folder(r / IMAGE), Refused("1 mask", "masks/train", "a.png")
    ),
    Kind("folder for a mask", lambda r: broken.replace_by_folder(r / MASK), Refused("1 image", "masks/train", "a.png")),
    Kind(
        "pipe for an image", lambda r: broken.replace_by_pipe(r / IMAGE), Refused("1 entries", "images/train", "a.png")
    ),
    Kind("pipe for a mask", lambda r: broken.replace_by_pipe(r / MASK), Refused("1 entries", "masks/train", "a.png")),
    Kind("socket for an image", lambda r: listen(r / IMAGE), Refused("1 entries", "images/train", "a.png")),
    Kind(
        "link to nowhere",
        lambda r: broken.replace_by_link(r / IMAGE, "gone.png"),
        Refused("1 entries", "images/train", "a.png"),
    ),
    Kind(
        "link to itself",
        lambda r: broken.replace_by_link(r / IMAGE, "a.png"),
        Refused("1 entries", "images/train", "a.png"),
    ),
    Kind(
        "link that loops", lambda r: (r / "images/train/loop").symlink_to("."), Refused("1 folder", "images/train/loop")
    ),
    Kind(
        "links that loop together",
        lambda r: [(r / f"images/{a}/{b}").symlink_to(f"../{b}") for a, b in (("train", "val"), ("val", "train"))],
        Refused("1 folder", "images/train/val/train"),
    ),
    Kind(
        "image from outside",
        lambda r: broken.move_and_link(r / IMAGE, r.parent / "elsewhere/a.png"),
        Warned("outside_dataset"),
    ),
    Kind(
        "mask from outside",
        lambda r: broken.move_and_link(r / MASK, r.parent / "elsewhere/a.png"),
        Warned("outside_dataset"),
    ),
    Kind(
        "folder from outside",
        lambda r: broken.move_and_link(r / "images/train", r.parent / "elsewhere"),
        Warned("outside_dataset"),
    ),
    Kind(
        "images is a link to itself",
        lambda r: (shutil.rmtree(r / "images"), (r / "images").symlink_to("images")),
        Refused("dataset/images", "dataset.source", unnamed="classes.yaml"),
    ),
    Kind(
        "images is a file",
        lambda r: (shutil.rmtree(r / "images"), (r / "images").write_text("x")),
        Refused("dataset/images", "dataset.source", unnamed="classes.yaml"),
    ),
    Kind(
        "no images",
        lambda r: shutil.rmtree(r / "images"),
        Refused("dataset/images", "classes.yaml, masks", "dataset.source"),
    ),
    Kind(
        "no masks",
        lambda r: shutil.rmtree(r / "masks"),
        Refused("dataset/masks/train", "classes.yaml, images", "dataset.source"),
    ),
    Kind(
        "no train",
        lambda r: shutil.rmtree(r / "images/train"),
        Refused("dataset/images", "test, val", "dataset.split.by"),
    ),
    Kind(
        "empty split",
        lambda r: [path.unlink() for path in (r / "images/val").iterdir()],
        Refused("images/val", "0 images"),
    ),
    Kind(
        "foreign split",
        lambda r: (r / "images/val").rename(r / "images/validation"),
        Refused("dataset/images", "train, validation", "dataset.split.by"),
    ),
    Kind(
        "nothing at all",
        lambda r: (shutil.rmtree(r), r.mkdir()),
        Refused("dataset/images", "nothing", "dataset.source"),
    ),
]

TABLES = [
    Kind("empty table", classes(""), Refused("classes.yaml", "None", "`classes`")),
    Kind("no class", classes("classes: []\nvoid: []\n"), Refused("'dataset'", "0 classes", "255")),
    Kind(
        "one class", class_lines("{name: a, color: [1, 2, 3], ids: [1, 2, 3]}"), Refused("'dataset'", "1 class", "255")
    ),
    Kind(
        "256 classes",
        class_lines(*(f"{{name: c{i}, color: [{i}, 0, 0], ids: [{i}]}}" for i in range(256)), void="[]"),
        Refused("'dataset'", "256 classes", "255"),
    ),
    Kind("no table", lambda r: (r / "classes.yaml").unlink(), Refused("dataset/classes.yaml", "masks/train/a.png")),
    Kind("no YAML", classes("classes: [\n"), Refused("classes.yaml", "YAML", "line 2")),
    Kind(
        "a picture for a table",
        lambda r: shutil.copy(r / IMAGE, r / "classes.yaml"),
        Refused("classes.yaml", "UTF-8", "0x89"),
    ),
    Kind("YAML bomb", classes(BILLION_LAUGHS), Refused("classes.yaml", "YAML", "*a")),
    Kind("YAML that runs code", classes("!!python/object/apply:os.system ['true']"), Refused("YAML", "os.system")),
    Kind(
        "name twice",
        class_lines(LOW, MIDDLE.replace("middle", "low"), HIGH),
        Refused("'dataset'", "name low"),
    ),
    Kind(
        "color twice",
        class_lines(LOW, MIDDLE.replace("0, 0, 142", "0, 142, 0"), HIGH),
        Refused("'dataset'", "142, 0)"),
    ),
    Kind(
        "raw id twice",
        class_lines(LOW, MIDDLE.replace("[2]", "[2, 3]"), HIGH),
        Refused("'dataset'", "id 3"),
    ),
    Kind(
        "void id that is a class",
        class_lines(LOW, MIDDLE, HIGH, void="[0, 3]"),
        Refused("'dataset'", "id 3"),
    ),
    Kind("id 256", class_lines(LOW, MIDDLE, HIGH.replace("[3]", "[256]")), Refused("classes.2.ids.0:", "256")),
    Kind("id -1", class_lines(LOW, MIDDLE, HIGH, void="[-1]"), Refused("void.0:", "-1)")),
    Kind("color of two", class_lines(LOW, MIDDLE, HIGH.replace("0, 142, 0", "0, 142")), Refused("classes.2.color.2:")),
    Kind(
        "table of another dataset",
        class_lines(*(f"{{name: c{i}, color: [{i}, 0, 0], ids: [{i}]}}" for i in (7, 8))),
        Refused("0 pixels", "8 masks", "ids 1,", "2, 3;", "7, 8", "dataset.adapter"),
    ),
]

LABELS = [
    Kind(
        "foreign id in one mask",
        lambda r: relabel(r / MASK, broken.with_foreign_id),
        Dropped("unknown_ids", "16 pixels"),
    ),
    Kind(
        "foreign ids in most masks",
        lambda r: [relabel(mask, broken.with_foreign_id) for mask in all_masks(r)[:5]],
        Refused("5 of", "8 masks", "3, 77;", "dataset.adapter"),
    ),
    Kind(
        "masks of 0 and 255, where 255 is listed as void",
        lambda r: (
            [relabel(mask, lambda m: np.where(m == 3, 255, 0).astype(np.uint8)) for mask in all_masks(r)],
            class_lines(LOW.replace("[1]", "[0]"), HIGH.replace("[3]", "[1]"), void="[255]")(r),
        ),
        Refused("class high", "(ids 1)", "0, 255", "ids 255", "curation.rules.untrained_class.policy"),
    ),
    Kind("all void", lambda r: relabel(r / MASK, np.zeros_like), Dropped("nothing_labelled", "void")),
    Kind(
        "all void everywhere",
        lambda r: [relabel(mask, np.zeros_like) for mask in all_masks(r)],
        Refused("0 pixels", "8 masks", "ids 0;"),
    ),
    Kind("single class", lambda r: relabel(r / MASK, lambda m: np.full_like(m, 2)), Warned("single_class")),
    Kind(
        "mask of other size",
        lambda r: relabel(r / MASK, lambda m: m[:, :32]),
        Dropped("size_mismatch", "32 x 48"),
    ),
    Kind("transposed mask", lambda r: relabel(r / MASK, lambda m: m.T), Dropped("size_mismatch", "48 x 64")),
    Kind(
        "no mask that can be used",
        lambda r: [mask.write_bytes(b"") for mask in all_masks(r)],
        Refused("0 of", "8 masks", "masks/train/a.png", "0 bytes"),
    ),
]

PICTURES = [
    Kind("black image", lambda r: save(np.zeros((48, 64, 3), np.uint8), r / IMAGE), Dropped("blank", "0.00")),
    Kind("white image", lambda r: save(np.full((48, 64, 3), 255, np.uint8), r / IMAGE), Dropped("blank", "0.00")),
    Kind(
        "leak from train to test",
        lambda r: shutil.copy(r / IMAGE, r / "images/test/g.png"),
        Dropped("leakage", "train_a", "test_g"),
    ),
    Kind(
        "copy within a split",
        lambda r: [shutil.copy(r / file, (r / file).with_name("b.png")) for file in (IMAGE, MASK)],
        Dropped("exact_duplicate", "train_a", "train_b"),
    ),
    Kind(
        "a split of which nothing is left",
        lambda r: [p.write_bytes(b"") for p in (r / "images/val").iterdir()],
        Refused("split val", "unreadable_image 2", "images/val/e.png", "0 bytes"),
    ),
]

BETWEEN = [
    Kind(name, damage, expected, "between the stages")
    for name, damage, expected in (
        ("image gone", lambda r: (r / IMAGE).unlink(), Dropped("unreadable_image", os.strerror(errno.ENOENT))),
        ("mask gone", lambda r: (r / MASK).unlink(), Dropped("unreadable_mask", os.strerror(errno.ENOENT))),
        ("image is a folder", lambda r: broken.replace_by_folder(r / IMAGE), Dropped("unreadable_image", "folder")),
        (
            "image is a loop",
            lambda r: broken.replace_by_link(r / IMAGE, "a.png"),
            Dropped("unreadable_image", os.strerror(errno.ELOOP)),
        ),
        ("image is a pipe", lambda r: broken.replace_by_pipe(r / IMAGE), Dropped("unreadable_image", "pipe")),
        ("other image", lambda r: save(scene(50)[0], r / IMAGE), Dropped("unreadable_image", "prepare")),
        ("other mask", lambda r: save(scene(50)[1], r / MASK), Dropped("unreadable_mask", "prepare")),
        (
            "no sample list",
            lambda r: (r.parent / "prepared/samples.csv").unlink(),
            Refused("samples.csv", "[Errno 2]", "curate"),
        ),
        (
            "a sample list of one column",
            lambda r: (r.parent / "prepared/samples.csv").write_text("id\na\n"),
            Refused("samples.csv", "id,split,sequence,image,mask,image_sha256,mask_sha256"),
        ),
        (
            "a sample list with a short line",
            lambda r: rewrite(r.parent / "prepared/samples.csv", lambda c: c + b"x,train\n"),
            Refused("samples.csv", "line 10", "7 values"),
        ),
        (
            "a sample list of bytes",
            lambda r: (r.parent / "prepared/samples.csv").write_bytes(b"\xff\xfe\0"),
            Refused("samples.csv", "0xff", "curate"),
        ),
        (
            "no class table",
            lambda r: (r.parent / "prepared/classes.json").unlink(),
            Refused("classes.json", "[Errno 2]", "prepare stage"),
        ),
        (
            "a class table of bytes",
            lambda r: (r.parent / "prepared/classes.json").write_bytes(b"\xff\xfe\0"),
            Refused("classes.json", "json_invalid", "prepare stage"),
        ),
        (
            "half a class table",
            lambda r: rewrite(r.parent / "prepared/classes.json", lambda c: c[:50]),
            Refused("classes.json", "json_invalid", "prepare stage"),
        ),
        (
            "no review",
            lambda r: (r.parent / "review.csv").unlink(),
            Refused("review.csv", "[Errno 2]", "id,verdict,image_sha256,mask_sha256"),
        ),
        (
            "a review of bytes",
            lambda r: (r.parent / "review.csv").write_bytes(b"\xff\xfe\0"),
            Refused("review.csv", "0xff"),
        ),
        (
            "a review of other columns",
            lambda r: (r.parent / "review.csv").write_text("id,remark\n"),
            Refused("review.csv", "id,remark", "id,verdict,image_sha256,mask_sha256"),
        ),
        (
            "a review with another verdict",
            lambda r: write_review(r.parent / "review.csv", [Remark("train_a", "?", "", "")]),
            Refused("review.csv", "train_a", "'?'", "drop", "fix_label"),
        ),
        (
            "a review of an unknown sample",
            lambda r: write_review(r.parent / "review.csv", [Remark("train_z", "drop", "", "")]),
            Kept(),
        ),
        (
            "a review of what has changed",
            lambda r: write_review(r.parent / "review.csv", [Remark("train_a", "drop", "0" * 64, "")]),
            Kept(),
        ),
        (
            "a review of what is there",
            lambda r: write_review(
                r.parent / "review.csv", [Remark("train_a", "drop", sha256(r / IMAGE), sha256(r / MASK))]
            ),
            Dropped("reviewed_drop", "`drop`"),
        ),
    )
]

KINDS = [*FILES, *NAMES, *TREES, *TABLES, *LABELS, *PICTURES, *BETWEEN]


@pytest.fixture(scope="module")
def params() -> Params:
    """A real dataset's rules, with leakage dropped instead of reported."""
    params = load_params(ROOT / "profiles/camvid/params.yaml")
    leakage = replace(params.curation.rules.leakage, policy="drop")
    return replace(params, curation=replace(params.curation, rules=replace(params.curation.rules, leakage=leakage)))


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("intact")
    for split, names in FRAMES.items():
        for name in names:
            add(root, f"{split}/{name}", ord(name) - 87)
    (root / "classes.yaml").write_text(CLASSES)
    return root


@pytest.fixture
def root(intact: Path, tmp_path: Path) -> Path:
    """A copy that may be broken, with an empty review beside it."""
    write_review(tmp_path / "review.csv", [])
    return Path(shutil.copytree(intact, tmp_path / "dataset"))


def prepare(params: Params, source: str, here: Path) -> None:
    dataset = DatasetParams(adapter="folder", source=source)
    prepare_dataset(dataset, here / "scratch", here / "prepared")


def curate(curation: CurationParams, root: Path) -> list[Decision]:
    here = root.parent
    curate_dataset(
        curation,
        training_splits=["train"],
        source=root,
        prepared=here / "prepared",
        review=here / "review.csv",
        scratch=here / "scratch",
        out=here / "curated",
        report=here / "reports/curation.md",
        pictures=here / "reports/curation",
    )
    return read_decisions(here / "curated/decisions.csv")


def visible_files(folder: Path) -> set[Path]:
    files = {Path(parent, name) for parent, _, names in os.walk(folder, followlinks=True) for name in names}
    return {file for file in files if not file.name.startswith(".") and file.name != "Thumbs.db"}


def run(kind: Kind, params: Params, root: Path) -> list[Decision]:
    """Both stages; what is put in must be found again, and what is kept must be what later stages read."""
    if kind.when == "at first":
        kind.damage(root)
    prepare(params, str(root), root.parent)
    given = visible_files(root / "images")
    if kind.when == "between the stages":
        kind.damage(root)
    decisions = curate(params.curation, root)
    assert {decision.sample.image for decision in decisions} == given
    kept = [decision.sample for decision in decisions if decision.decision == "keep"]
    assert read_samples(root.parent / "curated/samples.csv") == kept
    assert all(len(decision.rules) == len(decision.reasons) for decision in decisions)
    return decisions


def test_the_intact_dataset_is_kept_and_nothing_is_said_about_it(params: Params, root: Path) -> None:
    decisions = run(Kind("nothing", lambda _: None, Kept()), params, root)
    assert [decision.sample.id for decision in decisions] == [f"{s}_{n}" for s, names in FRAMES.items() for n in names]
    assert {decision.decision for decision in decisions} == {"keep"}
    assert [(d.sample.id, d.rules) for d in decisions if d.rules] == []


def test_kinds_have_names_of_their_own() -> None:
    assert len({kind.name for kind in KINDS}) == len(KINDS) >= 40


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_kind_ends_in_a_decision_or_one_clear_error(kind: Kind, params: Params, root: Path) -> None:
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if isinstance(kind.expected, Refused):
        with refusal(kind.expected):
            run(kind, params, root)
        assert not (root.parent / "curated/samples.csv").exists()
    else:
        check(kind.expected, run(kind, params, root))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < MEMORY_KB


@contextmanager
def refusal(expected: Refused) -> Iterator[None]:
    with raises(DatasetError, *expected.named) as caught:
        yield
    assert not expected.unnamed or expected.unnamed not in str(caught.value)


def check(expected: Kept | Warned | Dropped, decisions: list[Decision]) -> None:
    dropped = {decision.sample.id: decision.reasons for decision in decisions if decision.decision == "drop"}
    if not isinstance(expected, Dropped):
        assert dropped == {}
    if not isinstance(expected, Kept):
        [found] = [decision for decision in decisions if decision.sample.id == expected.sample]
        reasons = dict(zip(found.rules, found.reasons, strict=True))
        assert expected.value in reasons[expected.rule], reasons
    if isinstance(expected, Dropped):
        assert list(dropped) == [expected.sample]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("nowhere/at/all", Refused("nowhere/at/all/images", "dataset.source")),
        ("classes.yaml", Refused("classes.yaml/images", "dataset.source", unnamed="masks")),
        ("", Refused("images", "classes.yaml, masks", "dataset.source")),
        ("x" * 300, Refused(f"{'x' * 300}/images", "dataset.source")),
        ("a\0b", Refused("a\0b/images", "dataset.source")),
        ("~/data", Refused("~/data/images", "dataset.source")),
        ("masks", Refused("masks/images", "test, train,", "dataset.source")),
    ],
)
def test_a_source_that_is_no_dataset(
    params: Params, root: Path, monkeypatch: pytest.MonkeyPatch, source: str, expected: Refused
) -> None:
    shutil.rmtree(root / "images")
    monkeypatch.chdir(root)
    with refusal(expected):
        prepare(params, source, root.parent)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize(("file", "rule"), [(IMAGE, "unreadable_image"), (MASK, "unreadable_mask")])
def test_a_file_that_must_not_be_read(params: Params, root: Path, file: str, rule: str) -> None:
    kind = Kind("forbidden", lambda r: (r / file).chmod(0), Dropped(rule, os.strerror(errno.EACCES)))
    check(kind.expected, run(kind, params, root))  # type: ignore[reportArgumentType]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may list everything")
def test_a_folder_that_must_not_be_listed(params: Params, root: Path) -> None:
    (root / "images/val").chmod(0)
    try:
        with raises(DatasetError, "images/val", os.strerror(errno.EACCES)):
            prepare(params, str(root), root.parent)
    finally:
        (root / "images/val").chmod(0o755)


FIRST_OF_EACH_RULE = {kind.expected.rule: kind for kind in reversed(FILES) if isinstance(kind.expected, Dropped)}


@pytest.mark.parametrize("kind", FIRST_OF_EACH_RULE.values(), ids=FIRST_OF_EACH_RULE)
def test_a_rule_may_refuse_the_dataset_instead(kind: Kind, params: Params, root: Path) -> None:
    assert isinstance(kind.expected, Dropped)
    rule = kind.expected.rule
    rules = replace(params.curation.rules, **{rule: replace(getattr(params.curation.rules, rule), policy="block")})
    strict = replace(params, curation=replace(params.curation, rules=rules))
    with raises(DatasetError, "train_a", kind.expected.value, f"curation.rules.{rule}.policy"):
        run(kind, strict, root)
    assert "Refused" in (root.parent / "reports/curation.md").read_text()


def test_what_was_measured_of_another_file_is_not_kept(params: Params, root: Path) -> None:
    """A picture that lay in an image's place for a moment must not be taken for it afterwards."""
    original = (root / IMAGE).read_bytes()
    prepare(params, str(root), root.parent)
    save(np.zeros((48, 64, 3), np.uint8), root / IMAGE)
    curate(params.curation, root)
    (root / IMAGE).write_bytes(original)
    prepare(params, str(root), root.parent)
    assert {decision.decision for decision in curate(params.curation, root)} == {"keep"}


def test_unlabelled_images_may_be_broken_too(params: Params, root: Path) -> None:
    save(scene(70)[0], root / "images/unlabelled/good.png")
    (root / "images/unlabelled/empty.png").write_bytes(b"")
    (root / "images/unlabelled/bomb.png").write_bytes(broken.png_that_claims(60_000, 60_000))
    decisions = run(Kind("unlabelled", lambda _: None, Kept()), params, root)
    assert [(d.sample.id, d.rules) for d in decisions if d.decision == "drop"] == [
        ("unlabelled_bomb", ["too_large"]),
        ("unlabelled_empty", ["unreadable_image"]),
    ]


@pytest.fixture
def profile(root: Path) -> Path:
    """A profile's folder beside the dataset, in which the stages run."""
    yaml = YAML()
    tree = yaml.load(ROOT / "params.yaml")
    tree["dataset"] = {"adapter": "folder", "source": "dataset"}
    yaml.dump(tree, root.parent / "params.yaml")
    return root.parent


def command(stage: str, profile: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", f"stages.{stage}"],
        cwd=profile,
        env={"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("name", ["link that loops", "no text", "YAML bomb", "foreign ids in most masks"])
def test_the_command_ends_with_one_message(name: str, profile: Path) -> None:
    [kind] = [kind for kind in KINDS if kind.name == name]
    assert isinstance(kind.expected, Refused)
    kind.damage(profile / "dataset")
    ended = command("prepare", profile)
    if ended.returncode == 0:
        ended = command("curate", profile)
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    assert ended.stderr.strip().splitlines()[0].startswith("DatasetError: ")


def test_the_command_goes_on_without_what_is_broken(profile: Path) -> None:
    (profile / "dataset/images/train/a.png").write_bytes(b"")
    (profile / "dataset/masks/train/b.png").write_text("hi")
    (profile / "dataset/images/train/c.png").write_bytes(broken.png_that_claims(60_000, 60_000))
    for stage in ("prepare", "curate"):
        ended = command(stage, profile)
        assert (ended.returncode, "Traceback" in ended.stderr) == (0, False), ended.stderr
    dropped = [d.sample.id for d in read_decisions(profile / "data/curated/decisions.csv") if d.decision == "drop"]
    assert dropped == ["train_a", "train_b", "train_c"]
