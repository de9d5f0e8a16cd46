"""Cases, measurements and fingerprints made by hand, so that rules and comparisons are tested without files."""

from pathlib import Path
from typing import Any

import numpy as np

from pipeline.code_digest import ROOT
from pipeline.curation.duplicates import Fingerprint
from pipeline.curation.measuring.record import Alignment, ImageMeasurement, MaskMeasurement, Problem
from pipeline.curation.sample_rules import Case
from pipeline.data.samples import Sample
from pipeline.params.dataset import CurationParams
from pipeline.params.tree import load_params

CURATION: CurationParams = load_params(ROOT / "profiles/camvid/params.yaml").curation
PIXELS = 32


def sample(name: str, split: str = "train", sequence: str = "s") -> Sample:
    return Sample(name, split, sequence, Path(f"{name}.jpg"), Path(f"{name}.png"), f"{name}-i", f"{name}-m")


def image(**changes: Any) -> ImageMeasurement:
    """An image of 4 x 8 pixels with which nothing is wrong."""
    good = ImageMeasurement(
        size=(4, 8), format="JPEG", mode="RGB", orientation=1, digest="image",
        thumbnail=np.zeros(768, dtype=np.float32), contrast=50.0, dark=0.0, bright=0.0, blur=0.2,
    )  # fmt: skip
    return good._replace(**changes)


def mask(**changes: Any) -> MaskMeasurement:
    """Its mask: 20 pixels of raw id 0, 8 of raw id 1, 4 of raw id 255."""
    pixels = np.zeros(256, dtype=np.int64)
    pixels[[0, 1, 255]] = (20, 8, 4)
    good = MaskMeasurement(
        size=(4, 8), format="PNG", digest="mask", pixels=pixels, border_noise=0.1, shift=Alignment()
    )  # fmt: skip
    return good._replace(**changes)


def case(**changes: Any) -> Case:
    """A sample in which no rule finds anything, but for the changes; a problem stands in place of what it prevents."""
    problems = {name: changes.pop(name) for name in ("image", "mask") if isinstance(changes.get(name), Problem)}
    changes |= dict.fromkeys(problems)
    good = Case(
        sample=sample("a"), image=image(), mask=mask(), problems=problems, labelled=np.array([20, 8]), unknown=0,
        verdict="", inside=True,
    )  # fmt: skip
    return good._replace(**changes)


def thumb(name: str, split: str, degrees: float, sequence: str = "", image: str = "", mask: str = "") -> Fingerprint:
    """A fingerprint whose thumbnail is the unit vector of an angle: two are 1 - cos(difference) apart."""
    angle = np.deg2rad(degrees)
    thumbnail = np.array([np.cos(angle), np.sin(angle)], dtype=np.float32)
    return Fingerprint(sample(name, split, sequence or name), image or name, mask or name, thumbnail)
