"""Licenses are read as they are meant, and an unknown or foreign one is an objection."""

from collections.abc import Mapping
from email.message import Message
from importlib.metadata import version
from pathlib import Path

import pytest

from pipeline.__main__ import ROOT
from pipeline.audit import license_objections
from pipeline.deploy.requirements_lock import Licensed, Pin, read_licenses, read_lock
from pipeline.licenses import FOR_US, LOCKS, PERMISSIVE, is_allowed, license_of, refreshed

HASHES = ("0" * 64,)
HERE = Pin("numpy", version("numpy"), "", HASHES)
ELSEWHERE = Pin("pywin32", "312", "sys_platform == 'win32'", HASHES)


def metadata(**fields: str | list[str]) -> Message:
    message = Message()
    for name, values in fields.items():
        for value in [values] if isinstance(values, str) else values:
            message[name.replace("_", "-")] = value
    return message


def listed(*rows: Licensed) -> Mapping[tuple[str, str], Licensed]:
    return {(row.package, row.version): row for row in rows}


@pytest.mark.parametrize(
    ("fields", "expression"),
    [
        ({"License_Expression": "MIT and (apache-2.0 or bsd-3-clause)"}, "MIT AND (Apache-2.0 OR BSD-3-Clause)"),
        ({"License_Expression": "MIT", "License": "GPL"}, "MIT"),
        ({"License": "Apache License 2.0"}, "Apache-2.0"),
        ({"License": "BSD", "Classifier": "License :: OSI Approved :: MIT License"}, "LicenseRef-BSD"),
        ({"License": "All rights\nreserved", "Classifier": "License :: OSI Approved :: MIT License"}, "MIT"),
        ({"Classifier": ["Topic :: X", "License :: OSI Approved :: BSD License"]}, "LicenseRef-BSD"),
        ({"Classifier": ["License :: OSI Approved :: MIT License", "License :: OSI Approved :: BSD License"]}, None),
        ({"License": "Dual License"}, None),
        ({"License": "Proprietary", "Classifier": "License :: Other/Proprietary License"}, None),
        ({"License": "UNKNOWN"}, None),
        ({}, None),
    ],
)
def test_what_a_package_says_becomes_one_expression_or_nothing(fields: dict, expression: str | None) -> None:
    assert license_of(metadata(**fields)) == expression  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("expression", "allowed"),
    [
        ("MIT", True),
        ("GPL-3.0-only", False),
        ("MIT AND GPL-3.0-only", False),
        ("GPL-3.0-only OR MIT", True),
        ("GPL-3.0-only OR MIT AND AGPL-3.0-only", False),
        ("Apache-2.0 WITH LLVM-exception AND MIT", True),
        ("Apache-2.0 WITH another-exception", False),
        ("ISC AND (GPL-3.0-only OR (MIT AND Zlib))", True),
        ("(GPL-3.0-only OR AGPL-3.0-only) AND MIT", False),
        ("LicenseRef-NVIDIA-Proprietary", False),
        ("", False),
    ],
)
def test_a_choice_is_allowed_if_one_side_is(expression: str, allowed: bool) -> None:
    assert is_allowed(expression, PERMISSIVE) == allowed


def test_receivers_get_permissive_licenses_only() -> None:
    assert PERMISSIVE < FOR_US
    assert is_allowed("LicenseRef-NVIDIA-Proprietary", FOR_US)
    assert list(LOCKS.values()) == [FOR_US, PERMISSIVE]


@pytest.mark.parametrize("folder", LOCKS, ids=str)
def test_the_licenses_of_everything_that_is_locked_are_known_and_allowed(folder: Path) -> None:
    pins, known = read_lock(ROOT / folder / "requirements.lock"), read_licenses(ROOT / folder / "licenses.csv")
    assert license_objections(pins, known, LOCKS[folder]) == []
    assert all(row.source == "metadata" or len(row.source) > 15 for row in known.values())  # by hand: from where


def test_an_unknown_license_is_an_objection() -> None:
    empty = Licensed("pywin32", "312", "", "nowhere")
    for known in ({}, listed(empty)):
        (objection,) = license_objections([ELSEWHERE], known, PERMISSIVE)
        assert "pywin32==312" in objection
        assert "`python -m pipeline licenses`" in objection


def test_a_license_that_is_not_allowed_is_an_objection() -> None:
    row = Licensed("pywin32", "312", "AGPL-3.0-only", "its license file")
    (objection,) = license_objections([ELSEWHERE], listed(row), FOR_US)
    for value in ("pywin32==312", "AGPL-3.0-only", "pipeline/licenses.py"):
        assert value in objection


def test_a_list_that_is_not_what_the_package_says_is_an_objection() -> None:
    row = Licensed("numpy", HERE.version, "MIT", "metadata")
    (objection,) = license_objections([HERE], listed(row), PERMISSIVE)
    for value in (f"numpy=={HERE.version}", "MIT", "BSD-3-Clause AND"):
        assert value in objection


def test_a_row_of_another_version_is_an_objection_and_knows_nothing_of_this_one() -> None:
    row = Licensed("pywin32", "311", "PSF-2.0", "its license file")
    of_the_row, of_the_pin = license_objections([ELSEWHERE], listed(row), PERMISSIVE)
    assert "pywin32==311" in of_the_row
    assert "pywin32==312" in of_the_pin
    assert "`python -m pipeline licenses`" in of_the_pin


def test_a_list_is_brought_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    """Installed packages are asked again, what was looked up by hand stays, what is unknown is said."""
    asked = []
    monkeypatch.setattr("pipeline.licenses.fetched", asked.append)
    by_hand = Licensed("pywin32", "312", "PSF-2.0", "its license file")
    stranger = Pin("stranger", "1", "", HASHES)
    stale = Licensed("numpy", HERE.version, "MIT", "metadata")
    rows, unknown = refreshed([HERE, ELSEWHERE, stranger], listed(stale, by_hand))
    assert [(row.package, row.license.split()[0]) for row in rows] == [
        ("numpy", "BSD-3-Clause"),
        ("pywin32", "PSF-2.0"),
    ]
    assert unknown == asked == [stranger]
