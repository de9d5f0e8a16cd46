"""What curation objects to, rule by rule, and what it then does."""

from dataclasses import fields
from typing import Annotated, Literal

from pydantic import Field

from pipeline.params.sections import Count, Fraction, NonNegative, Positive, section

Policy = Literal["drop", "warn", "block"]  # leave the sample out; only say so; refuse the dataset


@section
class RuleParams:
    policy: Policy


@section
class UnusableParams:
    policy: Literal["drop", "block"]  # nothing can be trained on such a sample


@section
class ShareParams:
    policy: Policy
    above: Fraction  # a larger share is objected to


@section
class BelowParams:
    policy: Policy
    below: NonNegative


@section
class ShiftParams:
    policy: Policy
    above: Fraction  # of the longer side, by which the mask would have to be moved
    gain: Annotated[float, Field(ge=1)]  # by which edge strength under the borders has to grow


@section
class DistanceParams:
    policy: Policy
    below: NonNegative  # cosine distance of thumbnails at which two images are one


@section
class OccurrenceParams:
    policy: Literal["warn", "block"]
    samples: Count  # of a split in which a class occurs, at least


@section
class RatioParams:
    policy: Literal["warn", "block"]
    above: Positive  # pixels of the most frequent class of train for each of the least frequent


@section
class RulesParams:
    """In the order in which they are asked."""

    reviewed_drop: RuleParams  # tagged `drop` in the App
    reviewed_label: RuleParams  # tagged `fix_label`, and its mask has not changed since
    unreadable_image: UnusableParams
    unreadable_mask: UnusableParams
    truncated_image: UnusableParams  # the header is whole, the pixels are not
    truncated_mask: UnusableParams
    too_large: UnusableParams  # more pixels than max_megapixels: nothing is decoded
    unusable_mode: UnusableParams  # deep images; masks of other than one channel of 8 bits
    size_mismatch: UnusableParams
    unknown_ids: RuleParams  # `warn` takes such pixels for void
    nothing_labelled: UnusableParams
    converted_mode: RuleParams  # grey, palette, transparent or CMYK images, which are turned into RGB
    wrong_suffix: RuleParams  # the name promises another format than the file has
    lossy_mask: RuleParams  # stored in a format that changes ids
    rotated: RuleParams  # EXIF says to turn the image, the mask may be drawn for either view
    outside_dataset: RuleParams  # links that lead out of the dataset's folder
    mostly_void: ShareParams
    single_class: RuleParams
    shifted_mask: ShiftParams
    frayed_borders: ShareParams  # of border pixels that a 3 x 3 median would change
    blank: BelowParams  # standard deviation of the grey values
    overexposed: ShareParams  # of all but white pixels
    underexposed: ShareParams  # of all but black pixels
    blurred: ShareParams  # Crété's blur, 0..1
    exact_duplicate: RuleParams  # within a split
    near_duplicate: DistanceParams  # within a split
    leakage: DistanceParams  # across splits; `drop` leaves out the sample of the later split
    shared_sequence: RuleParams  # across splits; `drop` as above
    missing_class: OccurrenceParams
    class_imbalance: RatioParams


@section
class CurationParams:
    max_megapixels: Annotated[float, Field(gt=0, le=178)]  # larger pictures are not decoded; pillow decodes no more
    rules: RulesParams


RULE_NAMES = tuple(field.name for field in fields(RulesParams))
