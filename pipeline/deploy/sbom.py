"""Write sbom.cdx.json: a bundle's software bill of materials in CycloneDX 1.6.

It lists the bundle's models and the packages of its requirements.lock with their licenses. It does not list packages
that receivers install themselves (OpenVINO, TensorRT). Equal bundles have equal bills: a bill has no time, and its
serial number is a hash.
"""

import json
import uuid
from pathlib import Path
from typing import Any

from pipeline.data.files import sha256
from pipeline.deploy.requirements_lock import LICENSES, LOCK, Pin, read_licenses, read_lock
from pipeline.errors import ArtifactError

BILL = "sbom.cdx.json"
MODELS = (".onnx", ".engine")
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "urn:segdistill:sbom")


def bill_of_materials(name: str, bundle: Path) -> dict[str, Any]:
    """Return the bill of a run's bundle, which must already have all its other files except the manifest.

    Raises:
        ArtifactError: the bundle's lock cannot be read, or the license of a package is not listed.
    """
    licenses = read_licenses(bundle / LICENSES)
    components = [_model(path, bundle) for path in sorted(bundle.rglob("*")) if path.suffix in MODELS]
    for pin in read_lock(bundle / LOCK):
        if (pin.name, pin.version) not in licenses:
            raise ArtifactError(f"{bundle / LICENSES} has no license for {pin}; run `make licenses`")
        components.append(_package(pin, licenses[pin.name, pin.version].license))
    content = {
        "metadata": {
            "tools": {"components": [{"type": "application", "name": "segdistill"}]},
            "component": {"type": "application", "bom-ref": "bundle", "name": name},
        },
        "components": components,
        # The lock does not record which package requires which, so the bundle depends on all of them.
        "dependencies": [{"ref": "bundle", "dependsOn": [component["bom-ref"] for component in components]}],
    }
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": uuid.uuid5(NAMESPACE, json.dumps(content)).urn,
        "version": 1,
        **content,
    }


def _model(path: Path, bundle: Path) -> dict[str, Any]:
    inside, hashes = path.relative_to(bundle).as_posix(), [{"alg": "SHA-256", "content": sha256(path)}]
    return {"type": "machine-learning-model", "bom-ref": f"file:{inside}", "name": inside, "hashes": hashes}


def _package(pin: Pin, license: str) -> dict[str, Any]:
    files = {
        "type": "distribution",
        "url": pin.purl,  # receivers may install from any index
        "comment": "an installer takes the file for its platform",
        "hashes": [{"alg": "SHA-256", "content": digest} for digest in pin.sha256],
    }
    return {
        "type": "library",
        "bom-ref": pin.purl,
        "name": pin.name,
        "version": pin.version,
        "purl": pin.purl,
        "licenses": [{"expression": license, "acknowledgement": "declared"}],
        "externalReferences": [files],
        **({"properties": [{"name": "segdistill:marker", "value": pin.marker}]} if pin.marker else {}),
    }
