"""What a bundle says about right answers: its golden image, the labels expected of it, and how far one may be off."""

import io
import json
from collections.abc import Callable
from typing import Any, NamedTuple


class ContractUnusable(Exception):
    """preprocessing.json does not say what a rebuild needs to know."""


class Limits(NamedTuple):
    min_pixel_agreement: dict[str, float]  # by precision, of those in the bundle; share of the golden image, 0..1
    min_speedup: dict[str, float]  # of fp16 and int8, over the fastest of the higher precisions


class Contract(NamedTuple):
    """The parts of preprocessing.json that decide about a rebuilt engine."""

    input: str  # tensor names
    output: str
    image: str  # paths inside the bundle
    labels: str
    limits: Limits


def read_contract(text: bytes) -> Contract:
    """Read preprocessing.json. All precisions are compared with the labels of fp32: one truth for all.

    Raises:
        ContractUnusable: something is missing or of a wrong type.
    """
    try:
        content = json.loads(text)
        golden = content["golden"]
        limits = {name: float(share) for name, share in golden["min_pixel_agreement"].items()}
        return Contract(
            input=str(content["input"]),
            output=str(content["output"]),
            image=str(golden["image"]),
            labels=str(golden["labels"]["fp32"]),
            limits=Limits(limits, {name: float(content["min_speedup"][name]) for name in ("fp16", "int8")}),
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ContractUnusable(
            f"preprocessing.json of this bundle does not say what a rebuilt engine must reach ({error!r}); this file "
            f"and the bundle are of different versions, fetch the bundle again"
        ) from error


def read_golden(contract: Contract, read: Callable[[str], bytes]) -> tuple[Any, Any]:
    """Image, uint8 (1, H, W, 3), and expected labels, uint8 (1, H, W).

    Args:
        read: gives the bytes of a file of the bundle.

    Raises:
        ContractUnusable: numpy or pillow are missing, or the files are no such images.
    """
    try:
        import numpy as np
        from PIL import Image
    except ImportError as error:
        raise ContractUnusable(f"checking engines needs numpy and pillow ({error}); --build-only does not") from error
    try:
        image = np.array(Image.open(io.BytesIO(read(contract.image))).convert("RGB"))
        labels = np.array(Image.open(io.BytesIO(read(contract.labels))))
    except (OSError, SyntaxError, ValueError) as error:
        raise ContractUnusable(f"the golden images of this bundle cannot be read: {error}") from error
    if labels.dtype != np.uint8 or labels.shape != image.shape[:2]:
        raise ContractUnusable(f"{contract.labels} is no 8-bit label image of the size of {contract.image}")
    return np.ascontiguousarray(image[None]), labels[None]
