"""What an ONNX file asks of a runtime, read from its bytes without the package onnx and without a runtime.

A graph may keep its weights in other files and name them by path, wherever that leads; it may hold graphs in its nodes,
which are repeated without end or unfold without measure; it may name operators of libraries that are loaded for it, and
tensors of any size. The graphs of a bundle do none of that, so any of it is refused before a runtime follows it.
"""

from collections.abc import Iterator

from segdistill_runtime.errors import FileRefused

FIELDS: dict[str, dict[int, str]] = {
    "model": {7: "graph"},
    "graph": {1: "node", 5: "tensor"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 10: "tensor"},
    "tensor": {},
}
"""Which fields of which message lead to tensors, by their numbers in the published schema of ONNX (onnx.proto3)."""

EXTERNAL = "values in another file (external data)"
REFUSED: dict[str, dict[int, str]] = {
    "model": {20: "steps of a training", 25: "functions"},
    "graph": {15: "sparse tensors"},
    "node": {},
    "attribute": {
        6: "a graph in a node (a loop or a branch)",
        11: "graphs in a node (loops or branches)",
        22: "a sparse tensor",
        23: "sparse tensors",
    },
    "tensor": {13: EXTERNAL},
}
"""Fields that must not be there at all, and what they hold."""

GRAPH = 7  # of the model
DOMAIN = 7  # of a node: whose operator it is
STANDARD = (b"", b"ai.onnx")
DIMENSIONS = 1  # of a tensor
DATA_LOCATION = 14  # of a tensor: 0 is here
NUMBERS_PER_BYTE = 2  # of the narrowest type, four bits
VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
"""How a field is stored, the low three bits of its key."""


class _Flaw(Exception):
    """Why the bytes are refused."""


def require_plain_graph(file: str, data: bytes) -> None:
    """Refuse what is not one whole ONNX file with one flat graph of standard operators and all of its values.

    What operators make of their inputs is not looked at: a graph may still ask for more memory than there is.

    Args:
        file: its name, for the message.

    Raises:
        FileRefused: truncated or damaged, without a graph, or with anything in it that ours never have.
    """
    try:
        _require_plain(memoryview(data))
    except _Flaw as flaw:
        raise FileRefused(f"{file} is no ONNX file to run: {flaw}; get it again") from flaw


def _require_plain(whole: memoryview) -> None:
    if not any(number == GRAPH for number, _, _ in _fields(whole)):
        raise _Flaw("it holds no ONNX graph")
    waiting = [("model", whole)]
    while waiting:
        kind, message = waiting.pop()
        for number, wire, value in _fields(message):
            refused = EXTERNAL if kind == "tensor" and number == DATA_LOCATION and value != 0 else None
            if refused := refused or REFUSED[kind].get(number):
                raise _Flaw(f"it has {refused}, and ours never do")
            if kind == "node" and number == DOMAIN and value not in STANDARD:
                raise _Flaw(f"it asks for an operator of {_text(value)}, and ours are all of the standard")
            if number in FIELDS[kind]:
                if wire != LENGTH or not isinstance(value, memoryview):
                    raise _Flaw(f"field {number} of a {kind} is stored in a way that ONNX does not know")
                waiting.append((FIELDS[kind][number], value))
        if kind == "tensor":
            _require_its_numbers(message)


def _require_its_numbers(tensor: memoryview) -> None:
    """Refuse a tensor that says to be larger than what is stored of it."""
    numbers = 1
    for number, _, value in _fields(tensor):
        for size in _sizes(value) if number == DIMENSIONS else ():
            numbers *= size
            if numbers > NUMBERS_PER_BYTE * len(tensor):
                raise _Flaw(f"a tensor of {numbers:.3g} numbers or more stands in {len(tensor)} bytes")


def _sizes(value: int | memoryview) -> Iterator[int]:
    """One dimension, or several that are packed into one field."""
    if isinstance(value, int):
        yield value
        return
    at = 0
    while at < len(value):
        size, at = _varint(value, at)
        yield size


def _text(value: int | memoryview) -> str:
    return repr(bytes(value[:60]).decode(errors="replace")) if isinstance(value, memoryview) else str(value)


def _fields(message: memoryview) -> Iterator[tuple[int, int, int | memoryview]]:
    """Number, way of storing and value of each field of one message."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, wire = key >> 3, key & 7
        if number == 0:
            raise _Flaw(f"it is damaged, or no ONNX file (byte {at})")
        if wire == VARINT:
            value, at = _varint(message, at)
            yield number, wire, value
            continue
        if wire == LENGTH:
            size, at = _varint(message, at)
        elif wire in (FIXED64, FIXED32):
            size = 8 if wire == FIXED64 else 4
        else:
            raise _Flaw(f"it is damaged, or no ONNX file (byte {at})")
        if at + size > len(message):
            raise _Flaw("it is truncated or damaged, or no ONNX file")
        yield number, wire, message[at : at + size]
        at += size


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """A whole number of seven bits a byte, and the place after it."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            raise _Flaw("it is truncated, or no ONNX file")
        byte = message[at]
        value, at = value | (byte & 0x7F) << shift, at + 1
        if byte < 0x80:
            return value, at
    raise _Flaw("it is damaged, or no ONNX file")
