"""What an ONNX file refers to, read from its bytes without the package onnx and without a runtime.

A graph may keep its weights in other files and name them by path, wherever that leads. The graphs of a bundle hold
everything themselves, so any such reference is refused before a runtime follows it.
"""

from collections.abc import Iterator

FIELDS: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "function": {7: "node", 11: "attribute"},
    "training": {1: "graph", 2: "graph"},
    "tensor": {},
}
"""Which fields of which message lead to tensors, by their numbers in the published schema of ONNX (onnx.proto3)."""

GRAPH = 7  # of the model
EXTERNAL_DATA = 13  # of a tensor: where else its values are
DATA_LOCATION = 14  # of a tensor: 0 is here
VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
"""How a field is stored, the low three bits of its key."""


class GraphRefused(Exception):
    """Bytes that no runtime should be given; says why."""


def require_self_contained(data: bytes) -> None:
    """Refuse what is not one whole ONNX file.

    Raises:
        GraphRefused: truncated or damaged, without a graph, or with values in other files.
    """
    whole = memoryview(data)
    if not any(number == GRAPH for number, _, _ in _fields(whole)):
        raise GraphRefused("it holds no ONNX graph")
    waiting = [("model", whole)]
    while waiting:
        kind, message = waiting.pop()
        for number, wire, value in _fields(message):
            if kind == "tensor" and (number == EXTERNAL_DATA or (number == DATA_LOCATION and value != 0)):
                raise GraphRefused("it keeps values in another file (external data), and ours never do")
            if number in FIELDS[kind]:
                if wire != LENGTH or not isinstance(value, memoryview):
                    raise GraphRefused(f"field {number} of a {kind} is stored in a way that ONNX does not know")
                waiting.append((FIELDS[kind][number], value))


def _fields(message: memoryview) -> Iterator[tuple[int, int, int | memoryview]]:
    """Number, way of storing and value of each field of one message."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, wire = key >> 3, key & 7
        if number == 0:
            raise GraphRefused(f"it is damaged, or no ONNX file (byte {at})")
        if wire == VARINT:
            value, at = _varint(message, at)
            yield number, wire, value
            continue
        if wire == LENGTH:
            size, at = _varint(message, at)
        elif wire in (FIXED64, FIXED32):
            size = 8 if wire == FIXED64 else 4
        else:
            raise GraphRefused(f"it is damaged, or no ONNX file (byte {at})")
        if at + size > len(message):
            raise GraphRefused("it is truncated or damaged, or no ONNX file")
        yield number, wire, message[at : at + size]
        at += size


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """A whole number of seven bits a byte, and the place after it."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            raise GraphRefused("it is truncated, or no ONNX file")
        byte = message[at]
        value, at = value | (byte & 0x7F) << shift, at + 1
        if byte < 0x80:
            return value, at
    raise GraphRefused("it is damaged, or no ONNX file")
