"""Write and read preprocessing.json: the graph's input and output, and the file that each runtime runs.

No other module writes or reads this file.
"""

import json
from typing import Any, NamedTuple

from segdistill_runtime import RESIZE_MODES
from segdistill_runtime.errors import FileRefused, NotAvailable
from segdistill_runtime.images import Resizing
from segdistill_runtime.verify import from_json

FORMAT = "segdistill-preprocessing-1"
CONTRACT, CLASSES = "preprocessing.json", "classes.json"
INPUT, OUTPUT = "image", "labels"
MAX_SIDE = 32768  # pixels
AGAIN = "the file and segdistill_runtime have different versions, or the file is damaged; fetch the bundle again"


class RuntimeFile(NamedTuple):
    """The file that one runtime runs."""

    runtime: str
    precision: str
    model: str  # path inside the bundle
    p50_ms: float | None  # image to labels, on the machine that made the bundle


class LeftOut(NamedTuple):
    """A file that a runtime must not run, or must not run before it is measured on the target."""

    runtime: str
    precision: str
    model: str
    status: str  # rejected, undecided, or accepted: then another file is faster
    reason: str


class LabelClass(NamedTuple):
    """One class; its position is its train id."""

    name: str
    color: tuple[int, int, int]  # RGB, 0..255


class GoldenFiles(NamedTuple):
    """One image of the evaluation split, and the labels that each precision must give; paths are inside the bundle."""

    sample: str  # id of the image
    image: str
    labels: dict[str, str]  # path of the expected labels for each precision
    min_pixel_agreement: dict[str, float]  # minimum share of equal pixels for each precision, 0..1


class Contract(NamedTuple):
    """All that a client must know; the graph does the rest."""

    run: str
    height: int  # pixels
    width: int
    resize: str  # a key of RESIZE_MODES
    runtimes: list[RuntimeFile]  # the best file of each runtime, the fastest first
    others: list[LeftOut]
    golden: GoldenFiles
    min_speedup: dict[str, float]  # required of fp16 and int8, over the fastest higher precision

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Return the input's (batch, height, width, channels)."""
        return 1, self.height, self.width, 3

    @property
    def resizing(self) -> Resizing:
        return Resizing(self.height, self.width, self.resize)

    def why_not(self, runtime: str) -> str:
        """Return the reasons why nothing is released for a runtime."""
        reasons = [f"{o.precision} {o.status}: {o.reason}" for o in self.others if o.runtime == runtime]
        return "; ".join(reasons) or "it was not considered"

    def file_for(self, runtime: str) -> RuntimeFile:
        """Return the file that a runtime runs; raises NotAvailable if none was released for it."""
        for choice in self.runtimes:
            if choice.runtime == runtime:
                return choice
        raise NotAvailable(f"{self.run}: no file was released for {runtime}: {self.why_not(runtime)}")

    def record(self) -> dict[str, Any]:
        """Return the content of preprocessing.json; its texts are for people who write a client of their own."""
        return {
            "format": FORMAT,
            "run": self.run,
            "input": INPUT,
            "output": OUTPUT,
            "type": "uint8",
            "color": "RGB",
            "layout": "NHWC",
            "batch": 1,
            "height": self.height,
            "width": self.width,
            "input_shape": list(self.shape),
            "output_shape": list(self.shape[:3]),
            "output_meaning": "uint8 train id of each pixel: its class's position in classes.json",
            "classes": CLASSES,
            "normalization": "inside the graph: give raw pixel values 0..255",
            "orientation": "first turn the image as its EXIF orientation says",
            "resize": {
                "mode": self.resize,
                "size": RESIZE_MODES[self.resize],
                "rule": "bilinear, half-pixel centers, no antialiasing",
                "position": "pixel i of n lies at ((2 i + 1) m - n) / (2 n) in a row of m pixels, at least 0; "
                "its neighbors are the whole numbers around it, at most m - 1",
                "rounding": "the exact value, rounded half up; integer arithmetic is enough (see cpp/main.cpp, and "
                "images.py in the wheel)",
                "labels": "nearest neighbor: pixel i of n is pixel floor((2 i + 1) m / (2 n)) of m",
            },
            "runtimes": [choice._asdict() for choice in self.runtimes],
            "others": [other._asdict() for other in self.others],
            "golden": self.golden._asdict(),
            "min_speedup": self.min_speedup,
        }


def read_contract(data: bytes) -> Contract:
    """Read the bytes of preprocessing.json; raises FileRefused if a value is missing or out of range.

    Verification shows that the bytes are the released ones, but not who released them. So every value is checked.
    """
    try:
        content = json.loads(data)
        mode = from_json(dict[str, Any], content["resize"]).get("mode", "stretch")  # old bundles: always stretch
        contract = from_json(Contract, {**{name: content[name] for name in Contract._fields}, "resize": mode})
        if (names := (content["input"], content["output"])) != (INPUT, OUTPUT):
            raise ValueError(f"its input and output are called {names}")
        if contract.resize not in RESIZE_MODES:
            raise ValueError(f"its resize mode {contract.resize} is unknown")
        if not (0 < contract.height <= MAX_SIDE and 0 < contract.width <= MAX_SIDE):
            raise ValueError(f"its height and width, {contract.height} and {contract.width}, are out of range")
        if missing := {"fp16", "int8"} - set(contract.min_speedup) or {"fp32"} - set(contract.golden.labels):
            raise ValueError(f"it has no limit or no labels for {missing.pop()}")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise FileRefused(f"{CONTRACT} cannot be used ({error!r:.200}): {AGAIN}") from error
    return contract


def read_classes(data: bytes) -> list[LabelClass]:
    """Return the classes from the bytes of classes.json, in the order of train ids; raises FileRefused."""
    try:
        entries = json.loads(data)["classes"]
        classes = [from_json(LabelClass, {"name": entry["name"], "color": entry["color"]}) for entry in entries]
        if not classes or not all(0 <= value <= 255 for entry in classes for value in entry.color):
            raise ValueError("it has no classes, or a color is not in 0..255")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise FileRefused(f"{CLASSES} cannot be used ({error!r:.200}): {AGAIN}") from error
    return classes
