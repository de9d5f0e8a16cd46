"""sbom.cdx.json: the bill of materials of a bundle, in the words of CycloneDX 1.6.

It is made of the bundle's own files and nothing else: the packages that its requirements.lock installs, with the
licenses that its licenses.csv knows, and its models. Equal bundles so have equal bills: there is no time in it, and its
serial number is a hash. It does not hold what receivers add by themselves (OpenVINO, TensorRT, a signature's package).
"""

import json
import uuid
from pathlib import Path
from typing import Any

from pipeline.data.files import sha256, write_json
from pipeline.deploy.locked import LICENSES, LOCK, Licensed, LockError, Pin, read_licenses, read_lock

BILL = "sbom.cdx.json"
MODELS = (".onnx", ".engine")
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "urn:segdistill:sbom")


def write_bill(name: str, bundle: Path) -> None:
    """Write the bill of a bundle that holds everything else but its manifest.

    Raises:
        LockError: the bundle's lock cannot be read, or the license of a package is not listed.
    """
    write_json(bundle / BILL, bill_of_materials(name, bundle))


def bill_of_materials(name: str, bundle: Path) -> dict[str, Any]:
    """The bill as a tree.

    Args:
        name: the run's.

    Raises:
        LockError: the bundle's lock cannot be read, or the license of a package is not listed.
    """
    licenses = read_licenses(bundle / LICENSES)
    models = [_model(path, bundle) for path in sorted(bundle.rglob("*")) if path.suffix in MODELS]
    packages = [_package(pin, licenses, bundle / LICENSES) for pin in read_lock(bundle / LOCK)]
    components = [*models, *packages]
    content = {
        "metadata": {
            "tools": {"components": [{"type": "application", "name": "segdistill"}]},
            "component": {"type": "application", "bom-ref": "bundle", "name": name},
        },
        "components": components,
        # The lock does not say which package asks for which: the bundle needs all of them.
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
    inside = path.relative_to(bundle).as_posix()
    return {
        "type": "machine-learning-model",
        "bom-ref": f"file:{inside}",
        "name": inside,
        "hashes": [{"alg": "SHA-256", "content": sha256(path)}],
    }


def _package(pin: Pin, licenses: dict[tuple[str, str], Licensed], listed_in: Path) -> dict[str, Any]:
    known = licenses.get((pin.name, pin.version))
    if known is None:
        raise LockError(f"{listed_in} does not know the license of {pin}; run make licenses")
    files = {
        "type": "distribution",
        "url": pin.purl,  # wherever the receiver gets it from
        "comment": "an installer takes the one of these files that is for its platform",
        "hashes": [{"alg": "SHA-256", "content": digest} for digest in pin.sha256],
    }
    return {
        "type": "library",
        "bom-ref": pin.purl,
        "name": pin.name,
        "version": pin.version,
        "purl": pin.purl,
        "licenses": [{"expression": known.license, "acknowledgement": "declared"}],
        "externalReferences": [files],
        **({"properties": [{"name": "segdistill:marker", "value": pin.marker}]} if pin.marker else {}),
    }
