"""Why a sample may not be used: one small function per reason.

A rule looks at one measurement and answers with a sentence, or with None if it has nothing to object.
"""

from collections.abc import Callable
from typing import NamedTuple

from pipeline.curation.measurement import ImageMeasurement, MaskMeasurement, Measurement
from pipeline.data.classes import IGNORE_INDEX
from pipeline.data.samples import UNLABELLED, Sample


class Rejection(NamedTuple):
    sample: Sample
    rule: str
    reason: str


def unreadable_image(measurement: Measurement, class_count: int) -> str | None:
    return measurement.image if isinstance(measurement.image, str) else None


def unreadable_mask(measurement: Measurement, class_count: int) -> str | None:
    return measurement.mask if isinstance(measurement.mask, str) else None


def size_mismatch(measurement: Measurement, class_count: int) -> str | None:
    image, mask = measurement
    if not isinstance(image, ImageMeasurement) or not isinstance(mask, MaskMeasurement) or image.size == mask.size:
        return None
    (image_height, image_width), (mask_height, mask_width) = image.size, mask.size
    return f"the image is {image_width} x {image_height} pixels, its mask {mask_width} x {mask_height}"


def unknown_ids(measurement: Measurement, class_count: int) -> str | None:
    if not isinstance(measurement.mask, MaskMeasurement):
        return None
    pixels = measurement.mask.pixels
    unknown = int(pixels[class_count:IGNORE_INDEX].sum())
    if not unknown:
        return None
    share = 100 * unknown / int(pixels.sum())
    return f"{unknown} pixels ({share:.2g} %) hold an id that the table of {class_count} classes does not know"


def nothing_labelled(measurement: Measurement, class_count: int) -> str | None:
    if not isinstance(measurement.mask, MaskMeasurement) or measurement.mask.pixels[:IGNORE_INDEX].any():
        return None
    return "no pixel is labelled: the whole mask is void"


RULES: dict[str, Callable[[Measurement, int], str | None]] = {
    "unreadable_image": unreadable_image,
    "unreadable_mask": unreadable_mask,
    "size_mismatch": size_mismatch,
    "unknown_ids": unknown_ids,
    "nothing_labelled": nothing_labelled,
}
"""In the order in which they are asked; the first that objects is the reason."""


def objection(sample: Sample, measurement: Measurement, class_count: int) -> Rejection | None:
    """The first rule's objection to a sample, None if it may be used."""
    for name, rule in RULES.items():
        if sample.split == UNLABELLED and rule is nothing_labelled:
            continue
        reason = rule(measurement, class_count)
        if reason is not None:
            return Rejection(sample, name, reason)
    return None
