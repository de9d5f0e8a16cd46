"""What the project and its bundles are made of, and whether that is known, allowed and free of known vulnerabilities.

A tool, not a stage. It runs in the root, on the two locks: the environment's, and that of whoever receives a bundle.

licenses       brings licenses.csv beside each lock up to date; asks the package index about what is not installed here
audit          every locked line is one version with hashes, every license is known and allowed, and no package has a
               known vulnerability; the exit status is 1 if that is not so, or could not be found out
"""

import argparse
from pathlib import Path
from typing import NamedTuple

from pipeline.deploy.locked import LICENSES, LOCK, LockError, read_licenses, read_lock, write_licenses
from pipeline.door import run_command
from pipeline.errors import SegdistillError
from pipeline.supply.allowed import OF_THE_ENVIRONMENT, PERMISSIVE
from pipeline.supply.licenses import objections, refreshed
from pipeline.supply.vulnerabilities import NotChecked, known_vulnerabilities


class Supply(NamedTuple):
    """A folder with a lock and its list of licenses."""

    folder: Path
    allowed: frozenset[str]


SUPPLIES = (Supply(Path(), OF_THE_ENVIRONMENT), Supply(Path("pipeline/deploy/bundle"), PERMISSIVE))


class AuditFailed(SegdistillError):
    """Something that is locked is not as it must be, or nobody knows."""


class LicenseUnknown(SegdistillError):
    """A package does not say, in words that have one meaning, what its license is."""


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.supply", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    tools = parser.add_subparsers(required=True)
    tools.add_parser("licenses", help="bring the lists of licenses up to date").set_defaults(act=_licenses)
    auditing = tools.add_parser("audit", help="look at hashes, licenses and known vulnerabilities")
    auditing.add_argument("--service", help="address of a server with the interface of osv.dev (default: that one)")
    auditing.set_defaults(act=_audit)
    arguments = parser.parse_args()
    arguments.act(arguments)


def _licenses(_: argparse.Namespace) -> None:
    unknown = []
    for supply in SUPPLIES:
        path = supply.folder / LICENSES
        rows, without = refreshed(read_lock(supply.folder / LOCK), read_licenses(path))
        write_licenses(path, rows)
        unknown += [f"{path}: {pin}" for pin in without]
        print(f"{path}: {len(rows)} packages")
    if unknown:
        raise LicenseUnknown(
            "these packages do not say clearly what their license is; look it up and add a row whose source is where "
            "you found it:\n  " + "\n  ".join(unknown)
        )


def _audit(asked: argparse.Namespace) -> None:
    """All checks, also when one fails: whoever mends something wants to see everything."""
    complaints, pins = [], []
    for supply in SUPPLIES:
        path = supply.folder / LOCK
        try:
            locked, listed = read_lock(path), read_licenses(supply.folder / LICENSES)
        except LockError as error:
            complaints.append(str(error))
            continue
        found = objections(locked, listed, supply.allowed)
        print(f"{path}: {len(locked)} versions with {sum(len(pin.sha256) for pin in locked)} hashes")
        print(f"{supply.folder / LICENSES}: {len(listed)} licenses, {len(found)} objections")
        complaints += [f"{path}: {objection}" for objection in found]
        pins += locked
    try:
        vulnerabilities = known_vulnerabilities(pins, asked.service)
        print(f"known vulnerabilities: {len(vulnerabilities)} in {len({str(pin) for pin in pins})} versions")
        complaints += [str(vulnerability) for vulnerability in vulnerabilities]
    except NotChecked as error:
        complaints.append(str(error))
    if complaints:
        raise AuditFailed("\n  ".join([f"{len(complaints)} found:", *complaints]))


if __name__ == "__main__":
    run_command(main)
