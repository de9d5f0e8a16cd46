"""A bill of materials for a bundle that was released before there were any."""

import json
import shutil
from pathlib import Path

from pipeline.data.files import write_json
from pipeline.deploy.bundle.verify import MANIFEST, BundleRefused, verify
from pipeline.deploy.locked import LICENSES, LOCK
from pipeline.deploy.materials import BILL, write_bill
from pipeline.deploy.release import BUNDLE, listed_files
from pipeline.errors import SegdistillError


class BillRefused(SegdistillError):
    """A bundle that must stay as it is."""


def add_bill(bundle: Path) -> None:
    """Put today's lock and its licenses into a bundle, with the bill, and list them in its manifest.

    Raises:
        BillRefused: it is damaged, signed (its manifest is its signer's), rejected (nothing in it runs), or has a bill.
        LockError: the license of a package is not listed.
    """
    try:
        found = verify(bundle, None)
    except BundleRefused as error:
        raise BillRefused(str(error)) from error
    if found.signature != "absent":
        raise BillRefused(f"{bundle} is signed, and a new manifest would not be: release the run again with the key")
    if found.status != "released" or BILL in found.files:
        reason = "has a bill of materials already" if BILL in found.files else "was rejected: nothing in it runs"
        raise BillRefused(f"{bundle} {reason}; leave it as it is")
    for name in (LOCK, LICENSES):
        shutil.copyfile(BUNDLE / name, bundle / name)
    write_bill(found.run, bundle)
    manifest = json.loads((bundle / MANIFEST).read_text(encoding="utf-8"))
    write_json(bundle / MANIFEST, {**manifest, "files": listed_files(bundle)})
