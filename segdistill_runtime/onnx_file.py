"""What an ONNX file asks of a runtime, read from its bytes without the package onnx and without a runtime.

A graph may keep its weights in other files and name them by path, wherever that leads; it may hold graphs in its nodes,
which are repeated without end or unfold without measure; it may name operators of libraries that are loaded for it, and
tensors of any size. The graphs of a bundle do none of that, so any of it is refused before a runtime follows it.
"""

from collections.abc import Iterator
from itertools import accumulate
from operator import mul

from segdistill_runtime.errors import FileRefused

INNER: dict[str, dict[int, str]] = {
    "model": {7: "graph"},
    "graph": {1: "node", 5: "tensor"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 10: "tensor"},
    "tensor": {},
}
"""Which fields of which message lead to tensors, by their numbers in the published schema of ONNX (onnx.proto3)."""

EXTERNAL = "values in another file (external data)"
REFUSED: dict[tuple[str, int], str] = {
    ("model", 20): "steps of a training",
    ("model", 25): "functions",
    ("graph", 15): "sparse tensors",
    ("attribute", 6): "a graph in a node (a loop or a branch)",
    ("attribute", 11): "graphs in a node (loops or branches)",
    ("attribute", 22): "a sparse tensor",
    ("attribute", 23): "sparse tensors",
    ("tensor", 13): EXTERNAL,
}
"""Fields that must not be there at all, and what they hold."""

GRAPH, OPERATOR_DOMAIN, DATA_LOCATION, DIMENSIONS = ("model", 7), ("node", 7), ("tensor", 14), ("tensor", 1)
STANDARD = (b"", b"ai.onnx")
NUMBERS_PER_BYTE = 2  # of the narrowest type, four bits
VARINT, LENGTH, FIXED = 0, 2, {1: 8, 5: 4}
"""How a field is stored, the low three bits of its key; the others have a fixed number of bytes."""


class _Flaw(Exception):
    """Why the bytes are refused."""


def require_plain_graph(file: str, data: bytes) -> None:
    """Refuse what is not one whole ONNX file with one flat graph of standard operators and all of its values.

    What operators make of their inputs is not looked at: a graph may still ask for more memory than there is.
    """
    waiting, has_graph = [("model", memoryview(data))], False
    try:
        while waiting:
            kind, message = waiting.pop()
            dimensions: list[int] = []
            for number, value in _fields(message):
                field = kind, number
                has_graph |= field == GRAPH
                external = EXTERNAL if field == DATA_LOCATION and value != 0 else ""  # 0 is here
                if refused := external or REFUSED.get(field):
                    raise _Flaw(f"it has {refused}, and ours never do")
                if field == OPERATOR_DOMAIN and value not in STANDARD:
                    raise _Flaw(f"it asks for an operator of {_text(value)}, and ours are all of the standard")
                if field == DIMENSIONS:
                    dimensions += [value] if isinstance(value, int) else _packed(value)
                if number in INNER[kind]:
                    if isinstance(value, int):
                        raise _Flaw(f"field {number} of a {kind} is stored in a way that ONNX does not know")
                    waiting.append((INNER[kind][number], value))
            for numbers in accumulate(dimensions, mul):
                if numbers > NUMBERS_PER_BYTE * len(message):
                    raise _Flaw(f"a tensor of {numbers:.3g} numbers or more stands in {len(message)} bytes")
        if not has_graph:
            raise _Flaw("it holds no ONNX graph")
    except _Flaw as flaw:
        raise FileRefused(f"{file} is no ONNX file to run: {flaw}; get it again") from flaw


def _packed(numbers: memoryview) -> Iterator[int]:
    at = 0
    while at < len(numbers):
        number, at = _varint(numbers, at)
        yield number


def _text(value: int | memoryview) -> str:
    return repr(bytes(value[:60]).decode(errors="replace")) if isinstance(value, memoryview) else str(value)


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of each field of one message; a value that has a length is bytes, any other a number."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, wire = key >> 3, key & 7
        if number == 0 or wire not in (VARINT, LENGTH, *FIXED):
            raise _Flaw(f"it is damaged, or no ONNX file (byte {at})")
        size, at = (FIXED[wire], at) if wire in FIXED else _varint(message, at)
        if wire == VARINT:
            yield number, size
            continue
        value, at = message[at : at + size], at + size
        if at > len(message):
            raise _Flaw("it is truncated or damaged, or no ONNX file")
        yield number, value if wire == LENGTH else int.from_bytes(value, "little")


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
