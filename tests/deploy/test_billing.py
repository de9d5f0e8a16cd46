"""An older bundle gets its bill of materials, once, and only if nobody signed it."""

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.comparison.code import ROOT
from pipeline.deploy.billing import BillRefused, add_bill
from tests.deploy.release_material import run_script, write_manifest

NEW = ("sbom.cdx.json", "requirements.lock", "licenses.csv")


@pytest.fixture
def older(bundle: Path) -> Path:
    """A bundle as it was before there were bills."""
    for name in NEW:
        (bundle / name).unlink()
    write_manifest(bundle)
    return bundle


def test_an_older_bundle_becomes_what_is_released_today(older: Path, released: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.supply", "bill", str(older)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for name in (*NEW, "manifest.json"):
        assert (older / name).read_bytes() == (released / name).read_bytes()
    assert run_script(older, "self_test.py", cwd=older.parent).returncode == 0


def test_a_bundle_that_must_stay_as_it_is_stays(older: Path, key: Path) -> None:
    write_manifest(older, key)
    with pytest.raises(BillRefused, match="is signed, and a new manifest would not be"):
        add_bill(older)
    assert not (older / "sbom.cdx.json").exists()
    write_manifest(older)
    add_bill(older)
    with pytest.raises(BillRefused, match="has a bill of materials already"):
        add_bill(older)
    (older / "card.md").write_text("another")
    with pytest.raises(BillRefused, match=r"card.md is not the file that was released"):
        add_bill(older)
