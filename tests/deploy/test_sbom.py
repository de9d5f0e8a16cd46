"""The bill of materials: valid by the official schema, complete, and the same for the same bundle."""

import hashlib
import json
import shutil
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator
from packaging.requirements import Requirement
from referencing import Registry, Resource

from pipeline.code_digest import ROOT
from pipeline.deploy.requirements_lock import read_lock
from pipeline.deploy.sbom import bill_of_materials
from pipeline.errors import ArtifactError
from segdistill_runtime.verify import verify
from tests.deploy.release_material import RUN
from tests.raising import raises

BUNDLES = sorted(path.parent for path in (ROOT / "releases").glob("*/manifest.json"))


def read_bill(bundle: Path) -> dict[str, Any]:
    return json.loads((bundle / "sbom.cdx.json").read_text())


def of_type(bill: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    """Components by bom-ref."""
    return {component["bom-ref"]: component for component in bill["components"] if component["type"] == kind}


@pytest.fixture(scope="module")
def schema() -> Draft7Validator:
    """The official schema of CycloneDX 1.6, with those that it refers to."""
    folder = files("cyclonedx.schema") / "_res"
    parts = {
        name: json.loads((folder / f"{name}.SNAPSHOT.schema.json").read_text())
        for name in ("bom-1.6", "spdx", "jsf-0.82", "cryptography-defs")
    }
    registry = Registry().with_resources((part["$id"], Resource.from_contents(part)) for part in parts.values())
    return Draft7Validator(parts["bom-1.6"], registry=registry)


def test_the_schema_notices_a_wrong_bill(schema: Draft7Validator, released: Path) -> None:
    wrong = read_bill(released)
    wrong["components"][0]["type"] = "network"
    assert not schema.is_valid(wrong)


def test_a_released_bundle_has_a_valid_bill_that_its_manifest_lists(schema: Draft7Validator, released: Path) -> None:
    schema.validate(read_bill(released))
    assert {"sbom.cdx.json", "requirements.lock", "licenses.csv"} <= set(verify(released, None).files)


def test_the_bill_holds_every_model_with_its_hash(released: Path) -> None:
    graphs = {path.relative_to(released).as_posix(): path for path in released.rglob("*.onnx")}
    listed = of_type(read_bill(released), "machine-learning-model")
    assert {component["name"] for component in listed.values()} == set(graphs)
    assert len(graphs) > 4  # Triton's copies as well
    for component in listed.values():
        digest = hashlib.sha256(graphs[component["name"]].read_bytes()).hexdigest()
        assert component["hashes"] == [{"alg": "SHA-256", "content": digest}]


def test_the_bill_holds_what_the_lock_installs_and_the_lock_what_is_required(released: Path) -> None:
    packages, pins = of_type(read_bill(released), "library"), read_lock(released / "requirements.lock")
    assert set(packages) == {pin.purl for pin in pins}
    for pin in pins:
        component = packages[pin.purl]
        assert (component["name"], component["version"]) == (pin.name, pin.version)
        assert component["licenses"][0]["expression"]
        (distribution,) = component["externalReferences"]
        assert [each["content"] for each in distribution["hashes"]] == list(pin.sha256)
        assert [p["value"] for p in component.get("properties", [])] == ([pin.marker] if pin.marker else [])
    lines = (released / "requirements.txt").read_text().splitlines()
    for required in [Requirement(line) for line in lines if not line.startswith("#")]:
        versions = [pin.version for pin in pins if pin.name == required.name]
        assert versions
        assert all(required.specifier.contains(version) for version in versions)


def test_everything_in_the_bill_belongs_to_the_bundle(released: Path) -> None:
    bill = read_bill(released)
    references = [component["bom-ref"] for component in bill["components"]]
    assert len(references) == len(set(references))
    assert bill["dependencies"] == [{"ref": "bundle", "dependsOn": references}]
    assert bill["metadata"]["component"]["name"] == RUN
    assert "://" not in json.dumps({**bill, "$schema": ""})  # of no index and no machine


def test_equal_bundles_have_equal_bills_and_others_have_not(released: Path, bundle: Path) -> None:
    first = bill_of_materials(RUN, released)
    assert bill_of_materials(RUN, bundle) == first == read_bill(released)
    assert "timestamp" not in first["metadata"]
    shutil.copyfile(bundle / "model.onnx", bundle / "model_fp16.onnx")
    assert bill_of_materials(RUN, bundle)["serialNumber"] != first["serialNumber"]


def test_a_package_whose_license_is_not_listed_stops_the_release(bundle: Path) -> None:
    table = (bundle / "licenses.csv").read_text()
    (bundle / "licenses.csv").write_text("".join(line for line in table.splitlines(True) if "pillow" not in line))
    with raises(ArtifactError, bundle / "licenses.csv", "pillow==", "make licenses"):
        bill_of_materials(RUN, bundle)


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)
def test_what_is_under_releases_has_its_bill(schema: Draft7Validator, bundle: Path) -> None:
    found = verify(bundle, None)
    schema.validate(read_bill(bundle))
    assert read_bill(bundle) == bill_of_materials(found.run, bundle)
    assert "sbom.cdx.json" in found.files
