"""Hostile variants of a good file: damaged bytes, and values that nobody expected in the right places."""

import csv
import io
import json
import struct
import zlib
from collections.abc import Callable
from random import Random
from typing import Any

VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 255, 256, 2**31, 2**63, 2**64, 10**30, -(10**30), 0.5, -0.0, 1e308, float("nan"),
    float("inf"), "", " ", "\0", "\n", ",", '"', "../../etc/passwd", "/etc/passwd", "nan", "-inf", "1e999",
    "\ud800", "\u202e", "a" * 5000, "{{ 7 * 7 }}", "=cmd()", [], {}, [None], [[]], {"": {}}, ["a"] * 300,
)  # fmt: skip
BYTES = (
    b"", b"\0", b"\xff" * 8, b"\xef\xbb\xbf", b"\xff\xfe", b"\r", b"\n\n", b"[" * 3000, b"{" * 3000, b"&a [*a]",
    b"%PDF-", b"PK",
)  # fmt: skip


def mutated(data: bytes, random: Random) -> bytes:
    """One hostile variant; a function of the generator's state."""
    ways: list[Callable[[bytes, Random], bytes]] = [_flipped, _cut, _spliced, _inserted]
    if data[:1] in b"{[":
        ways += 6 * [_json]
    if data[:4] == b"\x89PNG":
        ways += 4 * [_png]
    elif data[8:9] == b"{":
        ways += 8 * [_safetensors]
    elif b"," in data[:200] and data[:1].isalpha():
        ways += 4 * [_csv]
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        data = random.choice(ways)(data, random)
    return data


def _flipped(data: bytes, random: Random) -> bytes:
    changed = bytearray(data)
    for _ in range(random.choice((1, 2, 16))):
        if changed:
            changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def _cut(data: bytes, random: Random) -> bytes:
    return data[: random.randrange(len(data) + 1)] if random.random() < 0.7 else data[random.randrange(len(data) + 1) :]


def _spliced(data: bytes, random: Random) -> bytes:
    first, second, third = (random.randrange(len(data) + 1) for _ in range(3))
    return data[:first] + data[min(second, third) : max(second, third)] + data[first:]


def _inserted(data: bytes, random: Random) -> bytes:
    at = random.randrange(len(data) + 1)
    return data[:at] + random.choice(BYTES) + data[at:]


def _json(data: bytes, random: Random) -> bytes:
    """Another value, a missing or an added key, a list that repeats itself, somewhere in the tree."""
    lines = data.split(b"\n") if data.count(b"\n{") else [data]  # JSON Lines
    at = random.randrange(len(lines))
    try:
        lines[at] = json.dumps(_changed(json.loads(lines[at]), random)).encode("utf-8", "surrogatepass")
    except (ValueError, RecursionError):
        return _flipped(data, random)
    return b"\n".join(lines)


def _changed(tree: Any, random: Random) -> Any:
    if isinstance(tree, dict) and tree and random.random() < 0.85:
        key = random.choice(list(tree))
        if random.random() < 0.1:
            return {name: value for name, value in tree.items() if name != key}
        if random.random() < 0.1:
            return {**tree, random.choice(("", "x", "__proto__", key + " ")): random.choice(VALUES)}
        return {**tree, key: _changed(tree[key], random)}
    if isinstance(tree, list) and tree and random.random() < 0.85:
        at = random.randrange(len(tree))
        if random.random() < 0.1:
            return tree + tree[: at + 1]
        if random.random() < 0.1:
            return tree[:at] + tree[at + 1 :]
        return [*tree[:at], _changed(tree[at], random), *tree[at + 1 :]]
    return random.choice(VALUES)


def _safetensors(data: bytes, random: Random) -> bytes:
    """Another header before the same tensors; `__metadata__` holds JSON as text."""
    size = struct.unpack("<Q", data[:8])[0]
    try:
        header = json.loads(data[8 : 8 + size])
        inner = header.get("__metadata__", {})
        if isinstance(inner, dict) and inner and random.random() < 0.7:
            key = random.choice(list(inner))
            text = json.dumps(_changed(json.loads(inner[key]), random))
            header = {**header, "__metadata__": {**inner, key: text}}
        else:
            header = _changed(header, random)
        written = json.dumps(header).encode("utf-8", "surrogatepass")
    except (ValueError, TypeError, AttributeError, RecursionError):
        return _flipped(data, random)
    stated = random.choice((len(written), len(written), len(written), 2**63, 0, size + 1))
    return struct.pack("<Q", stated) + written + data[8 + size :]


def _png(data: bytes, random: Random) -> bytes:
    """A chunk with other bytes and the right checksum: dimensions of a bomb, an unknown color type, no palette."""
    chunks, at = [], 8
    while at + 12 <= len(data):
        length = struct.unpack(">I", data[at : at + 4])[0]
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    if not chunks:
        return _flipped(data, random)
    which = random.randrange(len(chunks))
    kind, body = chunks[which]
    if kind == b"IHDR" and random.random() < 0.5:
        side = random.choice((0, 1, 2**16, 2**31 - 1, 2**31))
        body = struct.pack(">II", side, random.choice((1, side))) + body[8:]
    else:
        body = _flipped(body, random)
    chunks[which] = (kind, body)
    if random.random() < 0.2:
        random.shuffle(chunks)
    return data[:8] + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )


def _csv(data: bytes, random: Random) -> bytes:
    """One other cell."""
    try:
        rows = list(csv.reader(io.StringIO(data.decode("utf-8"), newline="")))
    except (UnicodeDecodeError, csv.Error):
        return _flipped(data, random)
    row = random.choice([row for row in rows if row] or [[""]])
    row[random.randrange(len(row))] = str(random.choice(VALUES))
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode("utf-8", "surrogatepass")
