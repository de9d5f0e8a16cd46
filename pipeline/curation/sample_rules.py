"""Check one sample at a time. A check returns a sentence that says what is wrong, or None."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from pipeline.curation.measuring.record import Alignment, ImageMeasurement, MaskMeasurement, Measurement, Problem
from pipeline.curation.review import Remark
from pipeline.curation.rule import (
    AboveParams,
    BelowParams,
    Finding,
    RuleParams,
    ShiftParams,
    UnusableParams,
    all_rules,
    rule,
)
from pipeline.data.samples import Sample

LOSSY = ("JPEG", "MPO", "JPEG2000", "AVIF", "HEIF")
"""Formats that change ids."""


class Case(NamedTuple):
    """All that is known of one sample."""

    sample: Sample
    image: ImageMeasurement | None  # None: cannot be decoded
    mask: MaskMeasurement | None  # None: cannot be decoded, or unlabelled
    problems: dict[str, Problem]  # why "image" or "mask" cannot be decoded
    shift: Alignment
    unknown: int  # pixels with ids that the class table does not know
    labelled: np.ndarray  # pixels of each class, int64 (k,)
    remark: Remark | None
    inside: bool  # no file of it is a link that leads out of the dataset

    def problem(self, kinds: Sequence[str], files: Sequence[str] = ("image", "mask")) -> str | None:
        """Say which of `files` have a problem of these kinds; None if none has."""
        found = {name: self.problems[name] for name in files if name in self.problems}
        return "; ".join(f"{name}: {p.sentence}" for name, p in found.items() if p.kind in kinds) or None


@rule("tagged `drop` by a person (review.csv)", RuleParams, policy="drop")
def reviewed_drop(case: Case, params: RuleParams) -> str | None:
    tagged = case.remark is not None and case.remark.verdict == "drop"
    return "somebody who looked at it tagged it `drop`" if tagged else None


@rule("tagged `fix_label` by a person, mask unchanged since", RuleParams, policy="drop")
def reviewed_label(case: Case, params: RuleParams) -> str | None:
    tagged = case.remark is not None and case.remark.verdict == "fix_label"
    return "somebody who looked at it tagged it `fix_label`, and the mask is unchanged" if tagged else None


@rule("the image file is missing or not readable", UnusableParams, policy="drop")
def unreadable_image(case: Case, params: UnusableParams) -> str | None:
    return case.problem(("unreadable", "changed"), ("image",))


@rule("the mask file is missing or not readable", UnusableParams, policy="drop")
def unreadable_mask(case: Case, params: UnusableParams) -> str | None:
    return case.problem(("unreadable", "changed"), ("mask",))


@rule("the image file ends too early or is damaged", UnusableParams, policy="drop")
def truncated_image(case: Case, params: UnusableParams) -> str | None:
    return case.problem(("truncated",), ("image",))


@rule("the mask file ends too early or is damaged", UnusableParams, policy="drop")
def truncated_mask(case: Case, params: UnusableParams) -> str | None:
    return case.problem(("truncated",), ("mask",))


@rule("more pixels than `max_megapixels`; not decoded", UnusableParams, policy="drop")
def too_large(case: Case, params: UnusableParams) -> str | None:
    return case.problem(("too_large",))


@rule(
    "an image of more than 8 bits a channel, a mask of other than one channel of 8 bits", UnusableParams, policy="drop"
)
def unusable_mode(case: Case, params: UnusableParams) -> str | None:
    return case.problem(("mode",))


@rule("image and mask differ in size", UnusableParams, policy="drop")
def size_mismatch(case: Case, params: UnusableParams) -> str | None:
    if not case.image or not case.mask or case.image.size == case.mask.size:
        return None
    (image_height, image_width), (mask_height, mask_width) = case.image.size, case.mask.size
    return f"the image is {image_width} x {image_height} pixels, its mask {mask_width} x {mask_height}"


@rule("ids that the class table does not know; `warn` counts them as void", RuleParams, policy="drop")
def unknown_ids(case: Case, params: RuleParams) -> str | None:
    if not case.mask or not case.unknown:
        return None
    share = 100 * case.unknown / int(case.mask.pixels.sum())
    table = f"the table of {len(case.labelled)} classes"
    return f"{case.unknown} pixels ({share:.2g} %) hold an id that {table} does not know"


@rule("the whole mask is void", UnusableParams, policy="drop")
def nothing_labelled(case: Case, params: UnusableParams) -> str | None:
    return "no pixel is labelled: the whole mask is void" if case.mask and not case.labelled.any() else None


@rule("the image is not RGB and is converted", RuleParams, policy="warn")
def converted_mode(case: Case, params: RuleParams) -> str | None:
    if not case.image or case.image.mode == "RGB":
        return None
    return f"pixel format {case.image.mode}, which is converted to RGB"


@rule("the file name promises another format", RuleParams, policy="warn")
def wrong_suffix(case: Case, params: RuleParams) -> str | None:
    found = []
    for what, path, measured in (("image", case.sample.image, case.image), ("mask", case.sample.mask, case.mask)):
        if path is None or measured is None:
            continue
        promised = Image.registered_extensions().get(path.suffix.lower(), "")
        if promised != measured.format and {promised, measured.format} != {"JPEG", "MPO"}:
            found.append(f"the {what} is called *{path.suffix} and is {measured.format}")
    return "; ".join(found) or None


@rule("the mask is stored in a format that changes ids", RuleParams, policy="drop")
def lossy_mask(case: Case, params: RuleParams) -> str | None:
    if not case.mask or case.mask.format not in LOSSY:
        return None
    return f"the mask is stored as {case.mask.format}, which changes ids; store it as PNG"


@rule("EXIF asks to turn the image; the mask may be drawn for either view", RuleParams, policy="drop")
def rotated(case: Case, params: RuleParams) -> str | None:
    if not case.image or case.image.orientation == 1:
        return None
    return (
        f"EXIF orientation {case.image.orientation} asks to turn or mirror the image, which is not done here; the mask "
        f"may be drawn for either view. Save the image upright, without the tag"
    )


@rule("a link that leads out of the dataset's folder", RuleParams, policy="warn")
def outside_dataset(case: Case, params: RuleParams) -> str | None:
    return None if case.inside else "one of its files is a link that leads out of the dataset"


@rule("too little of the mask is labelled", AboveParams, policy="warn", above=0.5)
def mostly_void(case: Case, params: AboveParams) -> str | None:
    if not case.mask or not case.labelled.any():
        return None
    share = 1 - int(case.labelled.sum()) / int(case.mask.pixels.sum())
    return f"{100 * share:.0f} % of the pixels are not labelled" if share > params.above else None


@rule("the mask shows one class only", RuleParams, policy="warn")
def single_class(case: Case, params: RuleParams) -> str | None:
    return "all labelled pixels are of one class" if case.mask and np.count_nonzero(case.labelled) == 1 else None


@rule(
    "borders of the mask fit the edges of the image better elsewhere", ShiftParams, policy="drop", above=0.01, gain=1.05
)
def shifted_mask(case: Case, params: ShiftParams) -> str | None:
    if not case.image or not is_shifted(case.shift, max(case.image.size), params):
        return None
    right, down, gain = case.shift
    return (
        f"its borders fit the image better when the mask is moved by {right:+d} pixels to the right and {down:+d} down "
        f"(edges there are {gain:.2f} times as strong)"
    )


def is_shifted(shift: Alignment, side: int, params: ShiftParams) -> bool:
    """Tell whether a mask lies too far off, and fits much better there; `side` is the longer one, in pixels."""
    return shift.gain >= params.gain and float(np.hypot(shift.right, shift.down)) > params.above * side


@rule("label noise along borders: pixels that a 3 x 3 median would change", AboveParams, policy="drop", above=0.3)
def frayed_borders(case: Case, params: AboveParams) -> str | None:
    if not case.mask or case.mask.border_noise <= params.above:
        return None
    return f"{100 * case.mask.border_noise:.0f} % of the pixels along borders are noise"


@rule("the image is nearly one color (standard deviation in grey values)", BelowParams, policy="drop", below=3.0)
def blank(case: Case, params: BelowParams) -> str | None:
    if not case.image or case.image.contrast >= params.below:
        return None
    return f"the image is nearly one color (standard deviation {case.image.contrast:.2f} grey values)"


@rule("too much white", AboveParams, policy="drop", above=0.6)
def overexposed(case: Case, params: AboveParams) -> str | None:
    if not case.image or case.image.bright <= params.above:
        return None
    return f"{100 * case.image.bright:.0f} % of the image are white"


@rule("too much black", AboveParams, policy="warn", above=0.6)
def underexposed(case: Case, params: AboveParams) -> str | None:
    if not case.image or case.image.dark <= params.above:
        return None
    return f"{100 * case.image.dark:.0f} % of the image are black"


@rule("blurred (Crété's measure, 0 sharp to 1 blurred)", AboveParams, policy="drop", above=0.5)
def blurred(case: Case, params: AboveParams) -> str | None:
    if not case.image or case.image.blur <= params.above:
        return None
    return f"the image is blurred ({case.image.blur:.2f} on a scale from 0 to 1)"


def case_of(
    sample: Sample, measured: Measurement, lookup: np.ndarray, known: np.ndarray, classes: int, remark: Remark | None,
    inside: bool,
) -> Case:  # fmt: skip
    """Put together what the rules look at.

    Args:
        lookup: train id of each raw id, uint8 (256,).
        known: which raw ids the class table knows, bool (256,).
        classes: their number.
    """
    image, mask, alignment = measured
    labelled, unknown = np.zeros(classes, dtype=np.int64), 0
    if isinstance(mask, MaskMeasurement):
        labelled = np.bincount(lookup, weights=mask.pixels, minlength=256)[:classes].astype(np.int64)
        unknown = int(mask.pixels[~known].sum())
    return Case(
        sample,
        None if isinstance(image, Problem) else image,
        None if isinstance(mask, Problem) else mask,
        {name: found for name, found in (("image", image), ("mask", mask)) if isinstance(found, Problem)},
        alignment or Alignment(0, 0, 1.0),
        unknown,
        labelled,
        remark,
        inside,
    )


def check_sample(case: Case, params: Any) -> list[Finding]:
    """Return what all rules find in one sample, in their order; `params` has an attribute for each rule."""
    findings = []
    for name, entry in all_rules().items():
        settings = getattr(params, name)
        if entry.per_sample and (reason := entry.check(case, settings)) is not None:
            findings.append(Finding(name, settings.policy, case.sample, reason))
    return findings


def lies_inside(sample: Sample, roots: Sequence[Path]) -> bool:
    """Tell whether no file of the sample is a link out of these resolved folders."""
    files = [path for path in (sample.image, sample.mask) if path is not None]
    places = [Path(os.path.realpath(path)) for path in files]  # resolve() raises for a link to itself
    return all(any(place.is_relative_to(root) for root in roots) for place in places)
