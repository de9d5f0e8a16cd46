"""preprocessing.json: what goes in, what comes out, and which file each runtime is to run."""

import json
from typing import Any, NamedTuple

import numpy as np

AUTO = "auto"
CUDA = "onnxruntime_cuda"
TENSORRT = "tensorrt"
PACKAGES = {"onnxruntime": "onnxruntime", CUDA: "onnxruntime-gpu", "openvino": "openvino"}
"""What pip installs for each runtime; which TensorRT an engine needs stands beside the engine."""
RUNTIMES = (*PACKAGES, TENSORRT)


MAX_SIDE = 32768  # pixels
AGAIN = "it and the runner are of different versions, or it is damaged; fetch the bundle again"


class InputRefused(Exception):
    """An array that is not what the graph takes; says what it is and what is needed."""


class RuntimeRefused(Exception):
    """A runtime that this machine or this bundle does not offer; says what is missing."""


class RuntimeMissing(RuntimeRefused):
    """A runtime whose package is not installed; another one may be."""


class ContractRefused(Exception):
    """preprocessing.json is not what this runner understands."""


class Choice(NamedTuple):
    """One file that ships for one runtime."""

    runtime: str
    precision: str
    model: str  # path inside the bundle
    p50_ms: float | None  # image to labels, on the machine that decided what ships


class LabelClass(NamedTuple):
    """One class; its position is its train id."""

    name: str
    color: tuple[int, int, int]  # RGB, 0..255


class Contract(NamedTuple):
    """What a client has to know; the graph does the rest."""

    run: str
    input: str  # name
    output: str
    height: int  # pixels
    width: int
    runtimes: list[Choice]  # the best file of each runtime, the fastest first
    others: list[dict[str, Any]]  # runtime, precision, model, verdict and reason of what does not ship, or not yet
    golden_image: str
    golden_labels: dict[str, str]  # expected labels for each precision
    golden_agreement: dict[str, float]  # least share of equal pixels for each precision, 0..1

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(batch, height, width, channels) of what goes in."""
        return 1, self.height, self.width, 3

    def expected_labels(self, choice: Choice) -> str:
        """Those that the same file gave where the bundle was made; engines are compared with the fp32 graph's."""
        return self.golden_labels["fp32" if choice.runtime == TENSORRT else choice.precision]


def read_contract(data: bytes) -> Contract:
    """From the bytes of preprocessing.json. They were verified: they are what somebody released, whoever that was.

    Raises:
        ContractRefused: something is missing or of a wrong type.
    """
    try:
        contract = _contract(json.loads(data))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ContractRefused(f"preprocessing.json cannot be used ({error!r}): {AGAIN}") from error
    if wrong := _wrong(contract):
        raise ContractRefused(f"preprocessing.json cannot be used, {wrong}: {AGAIN}")
    return contract


def read_classes(data: bytes) -> list[LabelClass]:
    """From the bytes of classes.json, in the order of train ids.

    Raises:
        ContractRefused: something is missing or of a wrong type.
    """
    try:
        classes = [LabelClass(entry["name"], tuple(entry["color"])) for entry in json.loads(data)["classes"]]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ContractRefused(f"classes.json cannot be used ({error!r}): {AGAIN}") from error
    good = all(isinstance(c.name, str) and len(c.color) == 3 and all(map(_is_byte, c.color)) for c in classes)
    if not classes or not good:
        raise ContractRefused(f"classes.json cannot be used, a name or a color is none: {AGAIN}")
    return classes


def _is_byte(value: Any) -> bool:
    return type(value) is int and 0 <= value <= 255


def _contract(content: dict[str, Any]) -> Contract:
    return Contract(
        run=content["run"],
        input=content["input"],
        output=content["output"],
        height=content["height"],
        width=content["width"],
        runtimes=[Choice(**choice) for choice in content["runtimes"]],
        others=content["others"],
        golden_image=content["golden"]["image"],
        golden_labels=content["golden"]["labels"],
        golden_agreement=content["golden"]["min_pixel_agreement"],
    )


def _wrong(contract: Contract) -> str:
    """The first thing that is of a wrong type or size; empty if nothing is."""
    sides = (contract.height, contract.width)
    if not all(type(side) is int and 0 < side <= MAX_SIDE for side in sides):
        return f"height and width are {str(sides)[:80]}"
    texts = [contract.run, contract.input, contract.output, contract.golden_image]
    texts += [text for choice in contract.runtimes for text in choice[:3]]
    if not all(isinstance(text, str) for text in texts):
        return "a name is no text"
    if not all(c.p50_ms is None or isinstance(c.p50_ms, int | float) for c in contract.runtimes):
        return "a time is no number"
    if not _maps(contract.golden_labels, str) or not _maps(contract.golden_agreement, int | float):
        return "the golden labels are not as they should be"
    keys = ("runtime", "precision", "verdict", "reason")
    if not isinstance(contract.others, list) or not all(_holds(other, keys) for other in contract.others):
        return "what does not ship is not as it should be"
    return ""


def _maps(value: Any, kind: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(each, kind) for each in value.values())


def _holds(value: Any, keys: tuple[str, ...]) -> bool:
    return isinstance(value, dict) and all(isinstance(value.get(key), str) for key in keys)


def why_not(contract: Contract, runtime: str) -> str:
    """Why nothing ships for a runtime, in the words of the decisions."""
    reasons = [f"{o['precision']} {o['verdict']}: {o['reason']}" for o in contract.others if o["runtime"] == runtime]
    return "; ".join(reasons) or "it was not considered"


def require_input(batch: np.ndarray, contract: Contract) -> None:
    """Refuse anything but one uint8 RGB image of the graph's size, channels last.

    Raises:
        InputRefused: names type, layout, batch or size, whichever is wrong.
    """
    _, height, width, _ = contract.shape
    if not isinstance(batch, np.ndarray) or batch.dtype != np.uint8:
        kind = batch.dtype if isinstance(batch, np.ndarray) else type(batch).__name__
        raise InputRefused(f"the graph takes uint8 pixels 0..255, this is {kind}; it normalizes them itself")
    if batch.ndim != 4:
        raise InputRefused(f"the graph takes (1, {height}, {width}, 3), this has shape {batch.shape}")
    if batch.shape[3] != 3 and batch.shape[1] == 3:
        raise InputRefused(f"the graph takes channels last (NHWC), this is channels first (NCHW): {batch.shape}")
    if batch.shape[3] != 3:
        raise InputRefused(f"the graph takes 3 channels, red, green and blue; this has {batch.shape[3]}: {batch.shape}")
    if batch.shape[0] != 1:
        raise InputRefused(f"the graph takes one image at a time, this is a batch of {batch.shape[0]}: {batch.shape}")
    if batch.shape[1:3] != (height, width):
        raise InputRefused(
            f"the graph takes {height}x{width} pixels, this has {batch.shape[1]}x{batch.shape[2]}; "
            f"resize it as preprocessing.json says (runner/images.py does)"
        )
