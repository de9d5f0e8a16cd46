import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from pipeline.code_digest import ROOT
from pipeline.curation.measuring.record import Alignment, MaskMeasurement, Measurement, Problem
from pipeline.curation.rule import all_rules
from pipeline.curation.sample_rules import case_of, check_sample
from pipeline.data.classes import ClassTable, LabelClass
from pipeline.params.dataset import CurationParams
from tests.curation.measured import CURATION, case, image, mask, sample
from tests.raising import raises

RULES_PARAMS = CURATION.rules


def reasons(**changes: Any) -> dict[str, str]:
    return {finding.rule: finding.reason for finding in check_sample(case(**changes), RULES_PARAMS)}


def test_nothing_is_found_in_a_good_sample() -> None:
    assert reasons() == {}


def test_nor_to_an_unlabelled_image() -> None:
    assert reasons(mask=None, labelled=np.zeros(2, dtype=int)) == {}


@pytest.mark.parametrize(
    ("changes", "rule", "named"),
    [
        ({"verdict": "drop"}, "reviewed_drop", ["`drop`"]),
        ({"verdict": "fix_label"}, "reviewed_label", ["`fix_label`"]),
        ({"image": Problem("unreadable", "the file is empty")}, "unreadable_image", ["image", "the file is empty"]),
        ({"mask": Problem("unreadable", "no such file")}, "unreadable_mask", ["mask", "no such file"]),
        ({"image": Problem("truncated", "ends too early")}, "truncated_image", ["image", "ends too early"]),
        ({"mask": Problem("truncated", "ends too early")}, "truncated_mask", ["mask", "ends too early"]),
        ({"image": Problem("too_large", "9 x 9 pixels")}, "too_large", ["image", "9 x 9 pixels"]),
        ({"mask": Problem("too_large", "9 x 9 pixels")}, "too_large", ["mask", "9 x 9 pixels"]),
        ({"image": Problem("mode", "pixel format I;16")}, "unusable_mode", ["image", "I;16"]),
        ({"mask": Problem("mode", "pixel format LA")}, "unusable_mode", ["mask", "LA"]),
        ({"mask": Problem("colors", "2 colors")}, "unknown_colors", ["mask", "2 colors"]),
        ({"mask": mask(size=(4, 4))}, "size_mismatch", ["8 x 4", "4 x 4"]),
        ({"unknown": 4}, "unknown_ids", ["4 pixels", "12 %", "2 classes"]),
        ({"labelled": np.zeros(2, dtype=int)}, "nothing_labelled", ["void"]),
        ({"image": image(mode="P")}, "converted_mode", [" P,", "RGB"]),
        ({"image": image(format="PNG")}, "wrong_suffix", ["image", "*.jpg", "PNG"]),
        ({"mask": mask(format="TIFF")}, "wrong_suffix", ["mask", "*.png", "TIFF"]),
        ({"mask": mask(format="JPEG")}, "lossy_mask", ["JPEG", "PNG"]),
        ({"image": image(orientation=6)}, "rotated", ["EXIF", "orientation 6"]),
        ({"inside": False}, "outside_dataset", []),
        ({"labelled": np.array([8, 7])}, "mostly_void", ["53 %"]),
        ({"labelled": np.array([20, 0])}, "single_class", []),
        ({"mask": mask(shift=Alignment(3, -4, 1.3))}, "shifted_mask", ["+3 pixels", "-4"]),
        ({"mask": mask(border_noise=0.66)}, "frayed_borders", ["66 %"]),
        ({"image": image(contrast=0.5)}, "blank", ["0.50"]),
        ({"image": image(bright=0.9)}, "overexposed", ["90 %"]),
        ({"image": image(dark=0.9)}, "underexposed", ["90 %"]),
        ({"image": image(blur=0.75)}, "blurred", ["0.75"]),
    ],
)
def test_every_rule_finds_what_it_is_for(changes: dict[str, Any], rule: str, named: list[str]) -> None:
    found = reasons(**changes)
    assert all(value in found[rule] for value in named), found[rule]
    assert set(found) <= {rule, "wrong_suffix"}, "nothing else is wrong with it"


@pytest.mark.parametrize(
    ("rule", "changes"),
    [
        ("mostly_void", {"labelled": np.array([8, 8])}),  # half of 32
        ("shifted_mask", {"mask": mask(shift=Alignment(0, 0, 9.0))}),
        ("shifted_mask", {"mask": mask(shift=Alignment(3, -4, 1.04))}),
        ("frayed_borders", {"mask": mask(border_noise=0.3)}),
        ("blank", {"image": image(contrast=3.0)}),
        ("overexposed", {"image": image(bright=0.6)}),
        ("underexposed", {"image": image(dark=0.6)}),
        ("blurred", {"image": image(blur=0.5)}),
        ("wrong_suffix", {"image": image(format="MPO")}),  # what some cameras make of a JPEG
    ],
)
def test_a_limit_itself_is_allowed(rule: str, changes: dict[str, Any]) -> None:
    assert rule not in reasons(**changes)


def test_every_rule_declares_its_parameters_with_defaults_and_its_meaning() -> None:
    for name, rule in all_rules().items():
        assert rule.meaning, name
        assert rule.Params().policy in ("drop", "warn", "block"), name
    assert [field.name for field in fields(CurationParams().rules)] == list(all_rules())


def test_rules_are_declared_without_heavy_packages() -> None:
    """Every stage reads them with params.yaml."""
    code = "import sys; from pipeline.curation.rule import all_rules as rules; rules(); print(*sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {"cv2", "torch"} & set(told.stdout.split())


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"blured": {}}, ("rules.blured", "unknown_key", "'blurred'")),
        ({"blurred": {"above": 3.0}}, ("rules.blurred.above", "less_than_equal", "3.0")),
        ({"blurred": {"abov": 0.3}}, ("rules.blurred.abov", "unknown_key", "'above'")),
        ({"missing_class": {"policy": "drop"}}, ("rules.missing_class.policy", "'warn'", "'block'")),
        ([], ("rules", "dataclass_type", "[]")),
    ],
)
def test_a_wrong_parameter_of_a_rule_is_refused(given: Any, named: tuple[str, ...]) -> None:
    with raises(ValidationError, *named):
        CurationParams(rules=given)


def test_a_parameter_that_is_not_given_has_the_default_of_its_rule() -> None:
    rules = CurationParams(rules={"blurred": {"above": 0.9}}).rules
    assert (rules.blurred.policy, rules.blurred.above) == ("drop", 0.9)
    assert (rules.leakage.policy, rules.leakage.below) == ("block", 0.02)


def test_a_finding_carries_the_policy_of_its_rule() -> None:
    rules = replace(RULES_PARAMS, mostly_void=replace(RULES_PARAMS.mostly_void, policy="block", above=0.2))
    findings = check_sample(case(labelled=np.array([20, 0]), unknown=1), rules)
    assert [(f.rule, f.policy) for f in findings] == [
        ("unknown_ids", "drop"),
        ("mostly_void", "block"),
        ("single_class", "warn"),
    ]


@pytest.mark.parametrize(
    ("orientation", "size", "explains"), [(6, (8, 4), True), (5, (8, 4), True), (3, (8, 4), False), (6, (9, 4), False)]
)
def test_an_orientation_that_explains_another_size_is_named(
    orientation: int, size: tuple[int, int], explains: bool
) -> None:
    found = reasons(image=image(orientation=orientation), mask=mask(size=size))
    assert ("EXIF" in found["size_mismatch"]) == explains
    assert "rotated" in found


def test_a_case_sees_the_mask_through_the_class_table() -> None:
    pixels = np.zeros(256, dtype=np.int64)
    pixels[[3, 4, 9, 77]] = (10, 5, 2, 1)
    table = ClassTable("toy", (LabelClass("a", (1, 1, 1), (4,)), LabelClass("b", (2, 2, 2), (3,))), (9,))
    found = case_of(sample("a"), Measurement(image(), mask(pixels=pixels), {}), table, "", [])
    assert found.labelled.tolist() == [5, 10]
    assert found.unknown == 1
    assert isinstance(found.mask, MaskMeasurement)


def test_a_link_out_of_the_dataset(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "elsewhere.png").write_bytes(b"x")
    (tmp_path / "data/inside.png").write_bytes(b"x")
    (tmp_path / "data/link.png").symlink_to(tmp_path / "elsewhere.png")
    (tmp_path / "data/alias.png").symlink_to(tmp_path / "data/inside.png")
    roots = [(tmp_path / "data").resolve()]
    table = ClassTable("toy", (LabelClass("a", (1, 1, 1), (0,)), LabelClass("b", (2, 2, 2), (1,))), ())
    for name, inside in (("inside", True), ("alias", True), ("link", False)):
        linked = sample("a")._replace(image=tmp_path / f"data/{name}.png", mask=None)
        assert case_of(linked, Measurement(image(), None, {}), table, "", roots).inside == inside
