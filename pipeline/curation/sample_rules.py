"""Check one sample at a time. A check returns a sentence that says what is wrong, or None.

A measurement is a finding if it is larger than `above`, or smaller than `below`.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
from PIL import Image
from pydantic import Field

from pipeline.curation.measuring.record import Alignment, ImageMeasurement, MaskMeasurement, Measurement, Problem
from pipeline.curation.rule import UNUSABLE, Finding, Rule, all_rules, apply_rule, rule
from pipeline.data.classes import ClassTable
from pipeline.data.samples import Sample
from pipeline.params.sections import Fraction, NonNegative

LYING = (5, 6, 7, 8)  # EXIF orientations that swap width and height
LOSSY = ("JPEG", "MPO", "JPEG2000", "AVIF", "HEIF")  # formats with lossy compression, which changes ids


class Case(NamedTuple):
    """The facts about one sample that the rules check."""

    sample: Sample
    image: ImageMeasurement | None  # None: cannot be decoded
    mask: MaskMeasurement | None  # None: cannot be decoded, or unlabelled
    problems: dict[str, Problem]  # why "image" or "mask" cannot be decoded
    labelled: np.ndarray  # pixels of each class, int64 (k,)
    unknown: int  # pixels whose ids are not in the class table
    verdict: str  # the tag that a person gave, see review.py; empty without one
    inside: bool  # False if one of its files is a link that leads out of the dataset

    @property
    def pixels(self) -> int:
        """Return the number of pixels of the mask; 0 without a mask."""
        return int(self.mask.pixels.sum()) if self.mask else 0


def case_of(sample: Sample, measured: Measurement, classes: ClassTable, verdict: str, roots: Sequence[Path]) -> Case:
    """Build the case of one sample; `roots` are the resolved folders that its files should lie in."""
    pixels = measured.mask.pixels if measured.mask else np.zeros(256, dtype=np.int64)
    labelled = np.bincount(classes.lookup(), weights=pixels, minlength=256)[: len(classes.classes)].astype(np.int64)
    files = [os.path.realpath(path) for path in (sample.image, sample.mask) if path]  # resolve() raises for loops
    inside = all(any(Path(file).is_relative_to(root) for root in roots) for file in files)
    return Case(sample, *measured, labelled, int(pixels[~classes.known_raw_ids()].sum()), verdict, inside)


def check_sample(case: Case, rules: Any) -> list[Finding]:
    """Return all findings about one sample, in the order of the rules; `rules` has an attribute for each rule."""
    subjects = {"file": case, "case": case, "image": case.image, "mask": case.mask, "dataset": None}
    findings = []
    for name, entry in all_rules().items():
        subject = subjects[entry.subject]
        if subject is not None and (reason := apply_rule(name, rules, subject)):
            findings.append(Finding(name, getattr(rules, name).policy, case.sample, reason))
    return findings


def _undecodable(meaning: str, kinds: Sequence[str], files: Sequence[str] = ("image", "mask")) -> Rule:
    """Declare a rule about files that have a problem of these kinds."""

    def check(case: Case) -> str | None:
        found = [(name, case.problems[name]) for name in files if name in case.problems]
        return "; ".join(f"{name}: {problem.sentence}" for name, problem in found if problem.kind in kinds) or None

    return rule("file", meaning, "drop", UNUSABLE)(check)


@rule("case", "tagged `drop` by a person (review.csv)", "drop")
def reviewed_drop(case: Case) -> str | None:
    return "a person tagged it `drop` in review.csv" if case.verdict == "drop" else None


@rule("case", "tagged `fix_label` by a person (review.csv), and the mask has not changed since", "drop")
def reviewed_label(case: Case) -> str | None:
    if case.verdict != "fix_label":
        return None
    return "a person tagged it `fix_label` in review.csv, and the mask has not changed since"


UNREADABLE = ("unreadable", "changed")
unreadable_image = _undecodable("the image file is missing or not readable", UNREADABLE, ["image"])
unreadable_mask = _undecodable("the mask file is missing or not readable", UNREADABLE, ["mask"])
truncated_image = _undecodable("the image file ends too early or is damaged", ["truncated"], ["image"])
truncated_mask = _undecodable("the mask file ends too early or is damaged", ["truncated"], ["mask"])
too_large = _undecodable("more pixels than `max_megapixels`; not decoded", ["too_large"])
unusable_mode = _undecodable("more than 8 bits a channel, or a mask without ids or colors", ["mode"])
unknown_colors = _undecodable("the mask has colors that are not in the class table", ["colors"], ["mask"])


@rule("case", "image and mask differ in size", "drop", UNUSABLE)
def size_mismatch(case: Case) -> str | None:
    if not case.image or not case.mask or case.image.size == case.mask.size:
        return None
    (image_height, image_width), (mask_height, mask_width) = case.image.size, case.mask.size
    differ = f"the image is {image_width} x {image_height} pixels, its mask {mask_width} x {mask_height}"
    if case.image.orientation in LYING and case.image.size == case.mask.size[::-1]:
        return (
            f"{differ}. They match only after the rotation of EXIF orientation {case.image.orientation}, which is not "
            f"applied here. Save the image upright, without the tag"
        )
    return differ


@rule("case", "the mask has ids that are not in the class table; `warn` counts them as void", "drop")
def unknown_ids(case: Case) -> str | None:
    if not case.unknown:
        return None
    share = f"{100 * case.unknown / case.pixels:.2g} %"
    return f"{case.unknown} pixels ({share}) have an id that is not in the table of {len(case.labelled)} classes"


@rule("case", "the whole mask is void", "drop", UNUSABLE)
def nothing_labelled(case: Case) -> str | None:
    return "no pixel is labelled: the whole mask is void" if case.mask and not case.labelled.any() else None


@rule("image", "the image is not RGB; it is converted", "warn")
def converted_mode(image: ImageMeasurement) -> str | None:
    return f"pixel format {image.mode}, which is converted to RGB" if image.mode != "RGB" else None


@rule("case", "the suffix of a file does not match its format", "warn")
def wrong_suffix(case: Case) -> str | None:
    found = []
    for what, path, measured in (("image", case.sample.image, case.image), ("mask", case.sample.mask, case.mask)):
        if path and measured:
            promised = Image.registered_extensions().get(path.suffix.lower(), "")
            if promised != measured.format and {promised, measured.format} != {"JPEG", "MPO"}:
                found.append(f"the {what} is named *{path.suffix}, but its format is {measured.format}")
    return "; ".join(found) or None


@rule("mask", "the mask is stored in a format that changes ids", "drop")
def lossy_mask(mask: MaskMeasurement) -> str | None:
    return f"the mask is stored as {mask.format}, which changes ids; store it as PNG" if mask.format in LOSSY else None


@rule("image", "an EXIF tag asks to rotate the image; the mask may fit either view", "drop")
def rotated(image: ImageMeasurement) -> str | None:
    if image.orientation == 1:
        return None
    return (
        f"EXIF orientation {image.orientation} asks to rotate or mirror the image, which is not done here. The mask "
        "may fit either view: save the image upright, without the tag"
    )


@rule("case", "a file is a link that leads out of the dataset's folder", "warn")
def outside_dataset(case: Case) -> str | None:
    return None if case.inside else "one of its files is a link that leads out of the dataset"


@rule("case", "too little of the mask is labelled", "warn")
def mostly_void(case: Case, *, above: Fraction = 0.5) -> str | None:
    void = 1 - int(case.labelled.sum()) / case.pixels if case.mask and case.labelled.any() else 0.0
    return f"{100 * void:.0f} % of the pixels are not labelled" if void > above else None


@rule("case", "the mask shows one class only", "warn")
def single_class(case: Case) -> str | None:
    return "all labelled pixels are of one class" if np.count_nonzero(case.labelled) == 1 else None


@rule("mask", "the mask is shifted: its borders fit the edges of the image better elsewhere", "drop")
def shifted_mask(
    mask: MaskMeasurement, *, above: Fraction = 0.01, gain: Annotated[float, Field(ge=1)] = 1.05
) -> str | None:
    """Find a shift longer than `above` of the longer side, where edges under the borders are `gain` times as strong."""
    shift = mask.shift
    if not is_shifted(shift, max(mask.size), above, gain):
        return None
    return (
        f"the mask fits the image better if you move it by {shift.right:+d} pixels to the right and {shift.down:+d} "
        f"down (the edges under its borders are then {shift.gain:.2f} times as strong)"
    )


def is_shifted(shift: Alignment, side: int, above: float, gain: float) -> bool:
    """Return whether a shift is longer than `above` of `side`, the longer side in pixels, and gains at least `gain`."""
    return shift.gain >= gain and float(np.hypot(shift.right, shift.down)) > above * side


@rule("mask", "label noise along borders: pixels that a 3 x 3 median would change", "drop")
def frayed_borders(mask: MaskMeasurement, *, above: Fraction = 0.3) -> str | None:
    noise = mask.border_noise
    return f"{100 * noise:.0f} % of the pixels along borders are noise" if noise > above else None


@rule("image", "the image is nearly one color (standard deviation in grey values)", "drop")
def blank(image: ImageMeasurement, *, below: NonNegative = 3.0) -> str | None:
    if image.contrast >= below:
        return None
    return f"the image is nearly one color (standard deviation {image.contrast:.2f} grey values)"


@rule("image", "too much white", "drop")
def overexposed(image: ImageMeasurement, *, above: Fraction = 0.6) -> str | None:
    return f"{100 * image.bright:.0f} % of the image are white" if image.bright > above else None


@rule("image", "too much black", "warn")
def underexposed(image: ImageMeasurement, *, above: Fraction = 0.6) -> str | None:
    return f"{100 * image.dark:.0f} % of the image are black" if image.dark > above else None


@rule("image", "blurred (Crété's measure, 0 sharp to 1 blurred)", "drop")
def blurred(image: ImageMeasurement, *, above: Fraction = 0.5) -> str | None:
    return f"the image is blurred ({image.blur:.2f} on a scale from 0 to 1)" if image.blur > above else None
