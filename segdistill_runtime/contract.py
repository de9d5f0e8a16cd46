"""preprocessing.json: what goes in, what comes out, and which file each runtime runs. Written and read here only."""

import json
from typing import Any, NamedTuple

from segdistill_runtime.errors import FileRefused, NotAvailable

FORMAT = "segdistill-preprocessing-1"
CONTRACT, CLASSES = "preprocessing.json", "classes.json"
INPUT, OUTPUT = "image", "labels"
MAX_SIDE = 32768  # pixels
AGAIN = "it and segdistill_runtime are of different versions, or it is damaged; fetch the bundle again"


class RuntimeFile(NamedTuple):
    """The file that one runtime is to run."""

    runtime: str
    precision: str
    model: str  # path inside the bundle
    p50_ms: float | None  # image to labels, on the machine where the bundle was made


class LeftOut(NamedTuple):
    """A file that a runtime is not to run, or not before a measurement on the target."""

    runtime: str
    precision: str
    model: str
    status: str  # rejected or undecided
    reason: str


class LabelClass(NamedTuple):
    """One class; its position is its train id."""

    name: str
    color: tuple[int, int, int]  # RGB, 0..255


class Contract(NamedTuple):
    """What a client has to know; the graph does the rest."""

    run: str
    height: int  # pixels
    width: int
    runtimes: list[RuntimeFile]  # the best file of each runtime, the fastest first
    others: list[LeftOut]
    golden_sample: str  # id of an image of the evaluation split
    golden_image: str  # its path
    golden_labels: dict[str, str]  # path of its labels for each precision
    min_pixel_agreement: dict[str, float]  # least share of equal pixels for each precision, 0..1
    min_speedup: dict[str, float]  # of fp16 and int8 over the fastest higher precision

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(batch, height, width, channels) of what goes in."""
        return 1, self.height, self.width, 3

    def why_not(self, runtime: str) -> str:
        """Say why nothing is released for a runtime."""
        reasons = [f"{o.precision} {o.status}: {o.reason}" for o in self.others if o.runtime == runtime]
        return "; ".join(reasons) or "it was not considered"

    def file_for(self, runtime: str) -> RuntimeFile:
        """Return the file that a runtime is to run.

        Raises:
            NotAvailable: none was released for it.
        """
        for choice in self.runtimes:
            if choice.runtime == runtime:
                return choice
        raise NotAvailable(f"{self.run}: nothing was released for {runtime}: {self.why_not(runtime)}")

    def record(self) -> dict[str, Any]:
        """Return the content of preprocessing.json; texts in it are for whoever writes a client of their own."""
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
            "orientation": "turn the image as its EXIF orientation says, before anything else",
            "resize": {
                "rule": "bilinear, half-pixel centers, no antialiasing",
                "position": "pixel i of n lies at ((2 i + 1) m - n) / (2 n) in a row of m pixels, at least 0; "
                "its neighbors are the whole numbers around it, at most m - 1",
                "rounding": "the exact value, rounded half up; whole numbers are enough (cpp/main.cpp, and images.py "
                "in the wheel)",
                "labels": "nearest neighbor: pixel i of n is pixel floor((2 i + 1) m / (2 n)) of m",
            },
            "runtimes": [choice._asdict() for choice in self.runtimes],
            "others": [other._asdict() for other in self.others],
            "golden": {
                "sample": self.golden_sample,
                "image": self.golden_image,
                "labels": self.golden_labels,
                "min_pixel_agreement": self.min_pixel_agreement,
            },
            "min_speedup": self.min_speedup,
        }


def read_contract(data: bytes) -> Contract:
    """Read the bytes of preprocessing.json. They were verified: they are what somebody released, whoever that was.

    Raises:
        FileRefused: something is missing or of a wrong type.
    """
    try:
        content = json.loads(data)
        contract = Contract(
            run=content["run"],
            height=content["height"],
            width=content["width"],
            runtimes=[RuntimeFile(**choice) for choice in content["runtimes"]],
            others=[LeftOut(**other) for other in content["others"]],
            **{f"golden_{key}": content["golden"][key] for key in ("sample", "image", "labels")},
            min_pixel_agreement=content["golden"]["min_pixel_agreement"],
            min_speedup=content["min_speedup"],
        )
        names = content["input"], content["output"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise FileRefused(f"{CONTRACT} cannot be used ({error!r}): {AGAIN}") from error
    if wrong := _wrong(contract, names):
        raise FileRefused(f"{CONTRACT} cannot be used, {wrong}: {AGAIN}")
    return contract


def read_classes(data: bytes) -> list[LabelClass]:
    """Read the bytes of classes.json, in the order of train ids.

    Raises:
        FileRefused: something is missing or of a wrong type.
    """
    try:
        classes = [LabelClass(entry["name"], tuple(entry["color"])) for entry in json.loads(data)["classes"]]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise FileRefused(f"{CLASSES} cannot be used ({error!r}): {AGAIN}") from error
    colors = [value for c in classes for value in c.color]
    whole = all(type(value) is int and 0 <= value <= 255 for value in colors) and len(colors) == 3 * len(classes)
    if not classes or not whole or not all(isinstance(c.name, str) and len(c.color) == 3 for c in classes):
        raise FileRefused(f"{CLASSES} cannot be used, a name or a color is of a wrong type: {AGAIN}")
    return classes


def _wrong(contract: Contract, names: tuple[object, object]) -> str:
    """Name the first thing that is of a wrong type or size; empty if nothing is."""
    if names != (INPUT, OUTPUT):
        return f"input and output are {str(names)[:80]}"
    sides = (contract.height, contract.width)
    if not all(type(side) is int and 0 < side <= MAX_SIDE for side in sides):
        return f"height and width are {str(sides)[:80]}"
    texts = [contract.run, contract.golden_image, *(text for choice in contract.runtimes for text in choice[:3])]
    if not all(isinstance(text, str) for text in [*texts, *(text for other in contract.others for text in other)]):
        return "a name is no text"
    if not all(choice.p50_ms is None or isinstance(choice.p50_ms, (int, float)) for choice in contract.runtimes):
        return "a time is no number"
    limits = (contract.min_pixel_agreement, contract.min_speedup)
    if not _maps(contract.golden_labels, str) or not all(_maps(limit, (int, float)) for limit in limits):
        return "golden labels or limits are of a wrong type"
    missing = {"fp16", "int8"} - set(contract.min_speedup) or {"fp32"} - set(contract.golden_labels)
    return f"{missing.pop()} has no limit or no labels" if missing else ""


def _maps(value: Any, kind: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(each, kind) for each in value.values())
