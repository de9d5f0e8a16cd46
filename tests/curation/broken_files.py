"""Files that are wrong in one way each, written over or beside a good one."""

import io
import os
import struct
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

HEIGHT, WIDTH = 48, 64
RAW_IDS = (1, 2, 3)

Change = Callable[[Path], None]


def scene(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A smooth random landscape with a little noise, uint8 (H, W, 3), and three classes by its height, uint8 (H, W)."""
    random = np.random.default_rng(seed)
    smooth = cv2.resize(random.uniform(0, 255, (5, 6, 3)), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    image = np.clip(smooth + random.normal(0, 14, smooth.shape), 0, 255).astype(np.uint8)
    mask = np.digitize(smooth[..., 0], np.quantile(smooth[..., 0], [0.3, 0.7])) + RAW_IDS[0]
    return image, mask.astype(np.uint8)


def save(array: np.ndarray, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
    return path


def add(root: Path, key: str, seed: int = 999) -> None:
    """One more good sample, `key` being its path below images/ and masks/, without suffix."""
    image, mask = scene(seed)
    save(image, root / f"images/{key}.png")
    save(mask, root / f"masks/{key}.png")


def bytes_as(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


def rewrite(path: Path, change: Callable[[bytes], bytes]) -> None:
    path.write_bytes(change(path.read_bytes()))


def redraw(path: Path, change: Callable[[Image.Image], Image.Image], suffix: str = "", **options: Any) -> None:
    """Save the picture again, changed, in the format of `suffix`, which its name then has."""
    with Image.open(path) as opened:
        picture = change(opened)
        picture.load()
    if suffix:
        path.unlink()
        path = path.with_suffix(suffix)
    picture.save(path, **options)


def disguise(path: Path, kind: str, **options: Any) -> None:
    """Another format under the same name."""
    with Image.open(path) as picture:
        content = bytes_as(picture, kind, **options)
    path.write_bytes(content)


def animate(path: Path, kind: str, suffix: str) -> None:
    with Image.open(path) as first:
        frames = [first.convert("RGB"), Image.fromarray(scene(7)[0]), Image.fromarray(scene(8)[0])]
    path.unlink()
    frames[0].save(path.with_suffix(suffix), format=kind, save_all=True, append_images=frames[1:])


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png_that_claims(width: int, height: int, extra: Iterable[bytes] = ()) -> bytes:
    """A PNG of a few bytes whose header promises any number of grey pixels."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(extra) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def insert_chunk(content: bytes, name: bytes, data: bytes) -> bytes:
    """Right behind the header of a PNG, 33 bytes."""
    return content[:33] + chunk(name, data) + content[33:]


def flip_bit(content: bytes) -> bytes:
    """In the middle, which is pixels."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def blank_out(content: bytes) -> bytes:
    """Zeros in the middle: a block of the disk that was never written."""
    start = len(content) // 2
    return content[:start] + bytes(64) + content[start + 64 :]


def with_exif(path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    redraw(path, lambda picture: picture, exif=exif)


def replace_by_link(path: Path, target: Path | str) -> None:
    path.unlink()
    path.symlink_to(target)


def move_and_link(path: Path, elsewhere: Path) -> None:
    elsewhere.parent.mkdir(parents=True, exist_ok=True)
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


def replace_by_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def with_name_that_is_no_text(path: Path) -> None:
    os.rename(path, os.path.join(os.fsencode(path.parent), b"caf\xe9.png"))


def relabel(path: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    with Image.open(path) as picture:
        mask = np.array(picture)
    Image.fromarray(np.ascontiguousarray(change(mask))).save(path)


def with_foreign_id(mask: np.ndarray) -> np.ndarray:
    changed = mask.copy()
    changed[:4, :4] = 77
    return changed
