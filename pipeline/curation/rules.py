"""What can be wrong with a sample by itself: one small pure function for each reason.

A rule looks at one case and answers with a sentence, or with None if it has nothing to object.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from pipeline.curation.measuring.record import Alignment, ImageMeasurement, MaskMeasurement, Measurement, Problem
from pipeline.curation.review import Remark
from pipeline.data.samples import Sample
from pipeline.params.curation import BelowParams, RuleParams, RulesParams, ShareParams, ShiftParams, UnusableParams

LOSSY = ("JPEG", "MPO", "JPEG2000", "AVIF", "HEIF")
"""Formats that do not give back the ids that went in."""

Plain = RuleParams | UnusableParams


class Case(NamedTuple):
    """All that is known of one sample, seen through the class table."""

    sample: Sample
    image: ImageMeasurement | Problem
    mask: MaskMeasurement | Problem | None
    shift: Alignment
    unknown: int  # pixels of ids outside of the class table
    labelled: np.ndarray  # pixels of each class, int64 (k,)
    remark: Remark | None
    inside: bool  # no file of it is a link that leads out of the dataset


class Finding(NamedTuple):
    """What a rule has to say about a sample, or about the dataset as a whole."""

    rule: str
    policy: str  # drop, warn or block
    sample: Sample | None
    reason: str


def reviewed_drop(case: Case, limits: Plain) -> str | None:
    return _reviewed(case, "drop", "somebody who looked at it tagged it `drop`")


def reviewed_label(case: Case, limits: Plain) -> str | None:
    return _reviewed(case, "fix_label", "somebody who looked at it tagged it `fix_label`, and the mask is unchanged")


def unreadable_image(case: Case, limits: Plain) -> str | None:
    return _problem(case, "unreadable", ("image",)) or _problem(case, "changed", ("image",))


def unreadable_mask(case: Case, limits: Plain) -> str | None:
    return _problem(case, "unreadable", ("mask",)) or _problem(case, "changed", ("mask",))


def truncated_image(case: Case, limits: Plain) -> str | None:
    return _problem(case, "truncated", ("image",))


def truncated_mask(case: Case, limits: Plain) -> str | None:
    return _problem(case, "truncated", ("mask",))


def too_large(case: Case, limits: Plain) -> str | None:
    return _problem(case, "too_large", ("image", "mask"))


def unusable_mode(case: Case, limits: Plain) -> str | None:
    return _problem(case, "mode", ("image", "mask"))


def size_mismatch(case: Case, limits: Plain) -> str | None:
    if not isinstance(case.image, ImageMeasurement) or not isinstance(case.mask, MaskMeasurement):
        return None
    if case.image.size == case.mask.size:
        return None
    (image_height, image_width), (mask_height, mask_width) = case.image.size, case.mask.size
    return f"the image is {image_width} x {image_height} pixels, its mask {mask_width} x {mask_height}"


def unknown_ids(case: Case, limits: Plain) -> str | None:
    if not isinstance(case.mask, MaskMeasurement) or not case.unknown:
        return None
    share = 100 * case.unknown / int(case.mask.pixels.sum())
    return (
        f"{case.unknown} pixels ({share:.2g} %) hold an id that the table of {len(case.labelled)} classes does not know"
    )


def nothing_labelled(case: Case, limits: Plain) -> str | None:
    if not isinstance(case.mask, MaskMeasurement) or case.labelled.any():
        return None
    return "no pixel is labelled: the whole mask is void"


def converted_mode(case: Case, limits: Plain) -> str | None:
    if not isinstance(case.image, ImageMeasurement) or case.image.mode == "RGB":
        return None
    return f"pixel format {case.image.mode}, which is turned into RGB"


def wrong_suffix(case: Case, limits: Plain) -> str | None:
    promises = []
    for what, path, measured in (("image", case.sample.image, case.image), ("mask", case.sample.mask, case.mask)):
        if path is None or not isinstance(measured, ImageMeasurement | MaskMeasurement):
            continue
        promised = Image.registered_extensions().get(path.suffix.lower(), "")
        if promised != measured.format and {promised, measured.format} != {"JPEG", "MPO"}:
            promises.append(f"the {what} is called *{path.suffix} and is {measured.format}")
    return "; ".join(promises) or None


def lossy_mask(case: Case, limits: Plain) -> str | None:
    if not isinstance(case.mask, MaskMeasurement) or case.mask.format not in LOSSY:
        return None
    return f"the mask is stored as {case.mask.format}, which changes ids; store it as PNG"


def rotated(case: Case, limits: Plain) -> str | None:
    if not isinstance(case.image, ImageMeasurement) or case.image.orientation == 1:
        return None
    return (
        f"EXIF orientation {case.image.orientation} asks to turn or mirror the image, which is not done here; the mask "
        f"may be drawn for either view. Save the image upright, without the tag"
    )


def outside_dataset(case: Case, limits: Plain) -> str | None:
    return None if case.inside else "one of its files is a link that leads out of the dataset"


def mostly_void(case: Case, limits: ShareParams) -> str | None:
    if not isinstance(case.mask, MaskMeasurement) or not case.labelled.any():
        return None
    share = 1 - int(case.labelled.sum()) / int(case.mask.pixels.sum())
    return f"{100 * share:.0f} % of the pixels are not labelled" if share > limits.above else None


def single_class(case: Case, limits: Plain) -> str | None:
    if not isinstance(case.mask, MaskMeasurement) or np.count_nonzero(case.labelled) != 1:
        return None
    return "all labelled pixels are of one class"


def shifted_mask(case: Case, limits: ShiftParams) -> str | None:
    if not isinstance(case.image, ImageMeasurement) or not is_shifted(case.shift, max(case.image.size), limits):
        return None
    right, down, gain = case.shift
    return (
        f"its borders fit the image better when the mask is moved by {right:+d} pixels to the right and {down:+d} down "
        f"(edges there are {gain:.2f} times as strong)"
    )


def is_shifted(shift: Alignment, side: int, limits: ShiftParams) -> bool:
    """Further than allowed, and with enough to gain; `side` is the longer one of the image, in pixels."""
    return shift.gain >= limits.gain and float(np.hypot(shift.right, shift.down)) > limits.above * side


def frayed_borders(case: Case, limits: ShareParams) -> str | None:
    if not isinstance(case.mask, MaskMeasurement) or case.mask.border_noise <= limits.above:
        return None
    return f"{100 * case.mask.border_noise:.0f} % of the pixels along borders are noise"


def blank(case: Case, limits: BelowParams) -> str | None:
    if not isinstance(case.image, ImageMeasurement) or case.image.contrast >= limits.below:
        return None
    return f"the image is all but one color (standard deviation {case.image.contrast:.2f} grey values)"


def overexposed(case: Case, limits: ShareParams) -> str | None:
    if not isinstance(case.image, ImageMeasurement) or case.image.bright <= limits.above:
        return None
    return f"{100 * case.image.bright:.0f} % of the image are white"


def underexposed(case: Case, limits: ShareParams) -> str | None:
    if not isinstance(case.image, ImageMeasurement) or case.image.dark <= limits.above:
        return None
    return f"{100 * case.image.dark:.0f} % of the image are black"


def blurred(case: Case, limits: ShareParams) -> str | None:
    if not isinstance(case.image, ImageMeasurement) or case.image.blur <= limits.above:
        return None
    return f"the image is blurred ({case.image.blur:.2f} on a scale from 0 to 1)"


RULES: dict[str, Callable[[Case, Any], str | None]] = {
    "reviewed_drop": reviewed_drop,
    "reviewed_label": reviewed_label,
    "unreadable_image": unreadable_image,
    "unreadable_mask": unreadable_mask,
    "truncated_image": truncated_image,
    "truncated_mask": truncated_mask,
    "too_large": too_large,
    "unusable_mode": unusable_mode,
    "size_mismatch": size_mismatch,
    "unknown_ids": unknown_ids,
    "nothing_labelled": nothing_labelled,
    "converted_mode": converted_mode,
    "wrong_suffix": wrong_suffix,
    "lossy_mask": lossy_mask,
    "rotated": rotated,
    "outside_dataset": outside_dataset,
    "mostly_void": mostly_void,
    "single_class": single_class,
    "shifted_mask": shifted_mask,
    "frayed_borders": frayed_borders,
    "blank": blank,
    "overexposed": overexposed,
    "underexposed": underexposed,
    "blurred": blurred,
}
"""In the order in which they are asked; each has the block of its name in the parameters."""


def case_of(
    sample: Sample,
    measurement: Measurement,
    lookup: np.ndarray,
    known: np.ndarray,
    classes: int,
    remark: Remark | None,
    inside: bool,
) -> Case:
    """Put together what the rules look at.

    Args:
        lookup: train id of each raw id, uint8 (256,).
        known: which raw ids the class table knows, bool (256,).
        classes: their number.
    """
    labelled, unknown = np.zeros(classes, dtype=np.int64), 0
    if isinstance(measurement.mask, MaskMeasurement):
        pixels = measurement.mask.pixels
        labelled = np.bincount(lookup, weights=pixels, minlength=256)[:classes].astype(np.int64)
        unknown = int(pixels[~known].sum())
    shift = measurement.alignment or Alignment(0, 0, 1.0)
    return Case(sample, measurement.image, measurement.mask, shift, unknown, labelled, remark, inside)


def object_to(case: Case, rules: RulesParams) -> list[Finding]:
    """What all rules find, in their order."""
    findings = []
    for name, rule in RULES.items():
        limits = getattr(rules, name)
        reason = rule(case, limits)
        if reason is not None:
            findings.append(Finding(name, limits.policy, case.sample, reason))
    return findings


def lies_inside(sample: Sample, roots: Sequence[Path]) -> bool:
    """No file of the sample is a link out of these folders, which are resolved already."""
    files = [path for path in (sample.image, sample.mask) if path is not None]
    places = [Path(os.path.realpath(path)) for path in files]  # resolve() raises for a link to itself
    return all(any(place.is_relative_to(root) for root in roots) for place in places)


def _reviewed(case: Case, verdict: str, sentence: str) -> str | None:
    return sentence if case.remark is not None and case.remark.verdict == verdict else None


def _problem(case: Case, kind: str, files: Sequence[str]) -> str | None:
    found = [
        f"{what}: {measured.sentence}"
        for what, measured in (("image", case.image), ("mask", case.mask))
        if what in files and isinstance(measured, Problem) and measured.kind == kind
    ]
    return "; ".join(found) or None
