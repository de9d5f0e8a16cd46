"""Check an ONNX file before a runtime opens it, from its bytes, without the package onnx.

A hostile graph can name other files for its weights, by any path. Its nodes can hold graphs that repeat or expand
without limit. It can name operators of other libraries, which a runtime then loads, and tensors of any size. The graphs
of a bundle do none of that, so a file that does is refused.
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
"""For each message, the fields that lead to tensors, by their numbers in the schema of ONNX (onnx.proto3)."""

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
"""Fields that a file must not have, and what each of them contains."""

GRAPH, OPERATOR_DOMAIN, DATA_LOCATION, DIMENSIONS = ("model", 7), ("node", 7), ("tensor", 14), ("tensor", 1)
STANDARD = (b"", b"ai.onnx")
NUMBERS_PER_BYTE = 2  # the narrowest type has four bits
VARINT, LENGTH, FIXED = 0, 2, {1: 8, 5: 4}
"""How a field is stored (the low three bits of its key). FIXED maps the other two kinds to their bytes."""


class _Flaw(Exception):
    """The reason to refuse the bytes."""


def require_plain_graph(file: str, data: bytes) -> None:
    """Raise FileRefused unless the bytes are one complete ONNX file with one flat graph of standard operators.

    The file must also contain all values. The outputs of operators are not checked: a graph may still need more memory
    than the machine has.
    """
    waiting, has_graph = [("model", memoryview(data))], False
    try:
        while waiting:
            kind, message = waiting.pop()
            dimensions: list[int] = []
            for number, value in _fields(message):
                field = kind, number
                has_graph |= field == GRAPH
                external = EXTERNAL if field == DATA_LOCATION and value != 0 else ""  # 0: in this file
                if refused := external or REFUSED.get(field):
                    raise _Flaw(f"it has {refused}, and graphs of a bundle never do")
                if field == OPERATOR_DOMAIN and value not in STANDARD:
                    raise _Flaw(f"it has an operator of {_text(value)}, and graphs of a bundle have only standard ones")
                if field == DIMENSIONS:
                    dimensions += [value] if isinstance(value, int) else _packed(value)
                if number in INNER[kind]:
                    if isinstance(value, int):
                        raise _Flaw(f"field {number} of a {kind} is stored in a way that ONNX does not define")
                    waiting.append((INNER[kind][number], value))
            for numbers in accumulate(dimensions, mul):
                if numbers > NUMBERS_PER_BYTE * len(message):
                    raise _Flaw(f"a tensor claims {numbers:.3g} numbers or more in {len(message)} bytes")
        if not has_graph:
            raise _Flaw("it holds no ONNX graph")
    except _Flaw as flaw:
        raise FileRefused(f"{file} must not be run: {flaw}; fetch it again") from flaw


def _packed(numbers: memoryview) -> Iterator[int]:
    at = 0
    while at < len(numbers):
        number, at = _varint(numbers, at)
        yield number


def _text(value: int | memoryview) -> str:
    return repr(bytes(value[:60]).decode(errors="replace")) if isinstance(value, memoryview) else str(value)


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield number and value of each field of one message; a value with a length is bytes, any other a number."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, wire = key >> 3, key & 7
        if number == 0 or wire not in (VARINT, LENGTH, *FIXED):
            raise _Flaw(f"it is damaged, or not an ONNX file (byte {at})")
        size, at = (FIXED[wire], at) if wire in FIXED else _varint(message, at)
        if wire == VARINT:
            yield number, size
            continue
        value, at = message[at : at + size], at + size
        if at > len(message):
            raise _Flaw("it is truncated or damaged, or not an ONNX file")
        yield number, value if wire == LENGTH else int.from_bytes(value, "little")


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """Return an integer that is stored in seven bits a byte, and the position after it."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            raise _Flaw("it is truncated, or not an ONNX file")
        byte = message[at]
        value, at = value | (byte & 0x7F) << shift, at + 1
        if byte < 0x80:
            return value, at
    raise _Flaw("it is damaged, or not an ONNX file")
