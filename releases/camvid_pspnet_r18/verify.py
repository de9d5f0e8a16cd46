"""Check a bundle before anything opens a file of it: python verify.py [--public-key KEY.pub] [BUNDLE]

Finds files that are missing, damaged, exchanged or added, and with a public key whether the bundle comes from the
holder of the private one. Reads bytes and JSON only: no model, no image, no archive. Needs the standard library; a
signature needs the package cryptography as well.

A copy of this file lies in every bundle, where it finds damage. Against malice use a copy, and a public key, that did
not come with the bundle: whoever can exchange a model can exchange this file too.
"""

import argparse
import hashlib
import json
import os
import re
import stat
import sys
from pathlib import Path
from typing import NamedTuple

FORMAT = "segdistill-bundle-1"
MANIFEST = "manifest.json"
SIGNATURE = "manifest.json.sig"  # 64 bytes: Ed25519 over the bytes of the manifest
KEY_VARIABLE = "SEGDISTILL_PUBLIC_KEY"
MAX_MANIFEST_BYTES = 4 * 2**20
SIGNATURE_BYTES = 64
RUNNABLE = frozenset({".py", ".pyc", ".pyd", ".so", ".dll", ".dylib", ".pth", ".sh"})
"""An added file of these kinds could be run in place of one of ours."""
AGAIN = "fetch the bundle again"


class BundleRefused(Exception):
    """A bundle that must not be used; says what is wrong with which file, and what to do."""


class ListedFile(NamedTuple):
    """What the manifest says about one file."""

    path: str  # inside the bundle, parts joined with /
    bytes: int
    sha256: str


class Verification(NamedTuple):
    """A bundle whose files are those of its manifest."""

    run: str
    status: str  # released or rejected
    reasons: list[str]  # why it was rejected
    signature: str  # valid, not checked (no public key was given), absent
    files: dict[str, ListedFile]  # by path
    unlisted: list[str]  # files that the manifest does not know; none of them is runnable

    def in_words(self) -> str:
        """What was found, one line for each thing."""
        said = {
            "valid": "the signature is valid",
            "not checked": f"WARNING: signed, but NOT CHECKED: give --public-key or set {KEY_VARIABLE}",
            "absent": "WARNING: this bundle is NOT SIGNED: its hashes find damage, not malice",
        }
        lines = [f"{self.run}: {len(self.files)} files are those of the manifest", said[self.signature]]
        if self.unlisted:
            lines.append(f"WARNING: not in the manifest, and not checked: {', '.join(self.unlisted)}")
        return "\n".join(lines)


def verify(bundle: Path, public_key: Path | None) -> Verification:
    """Compare every file of a bundle with its manifest, the signature first.

    Args:
        public_key: PEM file of the Ed25519 key that the bundle must be signed with; it must not lie in the bundle.

    Raises:
        BundleRefused: the first thing that is wrong.
    """
    manifest = _read_plain(bundle / MANIFEST, MAX_MANIFEST_BYTES)
    signed = os.path.lexists(bundle / SIGNATURE)
    if public_key is not None:
        _require_signature(bundle, manifest, public_key)
    elif signed:
        _read_signature(bundle)
    run, status, reasons, files = _parse(bundle / MANIFEST, manifest)
    for entry in files.values():
        _require_same(bundle, entry)
    signature = "valid" if public_key is not None else "not checked" if signed else "absent"
    return Verification(run, status, reasons, signature, files, _unlisted(bundle, files))


def verified_bytes(bundle: Path, verification: Verification, name: str) -> bytes:
    """Read one file of a verified bundle: the very bytes that are returned were compared with the manifest.

    Raises:
        BundleRefused: the manifest does not list it, or it has changed since.
    """
    entry = verification.files.get(name)
    if entry is None:
        raise BundleRefused(f"{bundle / name} is not in the manifest: it is no part of this bundle")
    data = _read_plain(bundle / name, entry.bytes)
    if hashlib.sha256(data).hexdigest() != entry.sha256:
        raise BundleRefused(_not_released(bundle / name, "SHA-256 differs"))
    return data


def given_key(argument: Path | None) -> Path | None:
    """The public key of the command line, or else of the environment."""
    named = os.environ.get(KEY_VARIABLE)
    return argument or (Path(named) if named else None)


def _read_plain(path: Path, limit: int) -> bytes:
    """Read a file that is no link, no folder and no device, and has at most `limit` bytes."""
    try:
        found = path.lstat()
        if not stat.S_ISREG(found.st_mode):
            raise BundleRefused(f"{path} is a link or no file at all: {AGAIN}")
        if found.st_size > limit:
            raise BundleRefused(f"{path} has {found.st_size} bytes, at most {limit} are expected: {AGAIN}")
        return path.read_bytes()
    except OSError as error:
        raise BundleRefused(f"{path} cannot be read ({error.strerror}): {AGAIN}") from error


def _read_signature(bundle: Path) -> bytes:
    signature = _read_plain(bundle / SIGNATURE, SIGNATURE_BYTES)
    if len(signature) != SIGNATURE_BYTES:
        raise BundleRefused(
            f"{bundle / SIGNATURE} has {len(signature)} bytes, a signature has {SIGNATURE_BYTES}: {AGAIN}"
        )
    return signature


def _require_signature(bundle: Path, manifest: bytes, public_key: Path) -> None:
    if public_key.resolve().is_relative_to(bundle.resolve()):
        raise BundleRefused(
            f"the public key {public_key} lies in the bundle: whoever forged the one could forge the other; "
            f"use a key that you got another way"
        )
    if not os.path.lexists(bundle / SIGNATURE):
        raise BundleRefused(f"{bundle} is not signed ({SIGNATURE} is missing), and a public key was given")
    signature = _read_signature(bundle)
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        from cryptography.hazmat.primitives.serialization import load_pem_public_key
    except ImportError as error:
        raise BundleRefused(f"checking a signature needs the package cryptography: {error}") from error
    try:
        key = load_pem_public_key(public_key.read_bytes())
    except OSError as error:
        raise BundleRefused(f"public key {public_key} cannot be read: {error.strerror}") from error
    except Exception as error:  # what the package raises for bytes that are no key has no common base
        raise BundleRefused(f"{public_key} is not a public key in PEM format: {error}") from error
    if not isinstance(key, Ed25519PublicKey):
        raise BundleRefused(f"{public_key} is a key of another kind, bundles are signed with Ed25519")
    try:
        key.verify(signature, manifest)
    except InvalidSignature as error:
        raise BundleRefused(
            f"the signature of {bundle / MANIFEST} does not fit {public_key}: the manifest was changed, or another "
            f"key signed it; do not use this bundle"
        ) from error


def _parse(path: Path, data: bytes) -> tuple[str, str, list[str], dict[str, ListedFile]]:
    try:
        manifest = json.loads(data.decode("utf-8"), object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError) as error:
        raise BundleRefused(f"{path} is not JSON ({error}): {AGAIN}") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise BundleRefused(f"{path} is not of the format {FORMAT}, the one that this file understands")
    run, status, reasons, files = (manifest.get(key) for key in ("run", "status", "reasons", "files"))
    if not isinstance(run, str) or status not in ("released", "rejected") or not _is_strings(reasons):
        raise BundleRefused(f"{path} has no valid run, status and reasons: {AGAIN}")
    if not isinstance(files, list) or not files:
        raise BundleRefused(f"{path} lists no files: {AGAIN}")
    listed = [_listed(path, entry) for entry in files]
    if len({entry.path.casefold() for entry in listed}) != len(listed):
        raise BundleRefused(f"{path} lists a file twice: {AGAIN}")
    return run, str(status), list(reasons or ()), {entry.path: entry for entry in listed}


def _without_repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
    if len({key for key, _ in pairs}) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return dict(pairs)


def _is_strings(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _listed(manifest: Path, entry: object) -> ListedFile:
    """One checked entry; its path stays inside the bundle on every system."""
    if not isinstance(entry, dict):
        raise BundleRefused(f"{manifest}: {str(entry)[:80]!r} describes no file: {AGAIN}")
    path, size, digest = (entry.get(key) for key in ("path", "bytes", "sha256"))
    if not isinstance(path, str) or not isinstance(size, int) or not isinstance(digest, str):
        raise BundleRefused(f"{manifest}: path, bytes or sha256 of {str(path)[:80]!r} is missing or of another type")
    if isinstance(size, bool) or size < 0 or not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise BundleRefused(f"{manifest}: {path[:80]!r} has no such size or SHA-256: {AGAIN}")
    if not re.fullmatch(r"[A-Za-z0-9_.+-]+(/[A-Za-z0-9_.+-]+)*", path) or {".", ".."} & set(path.split("/")):
        raise BundleRefused(f"{manifest}: the path {path[:80]!r} leads out of the bundle or is not portable")
    if path in (MANIFEST, SIGNATURE):
        raise BundleRefused(f"{manifest} lists {path}, which cannot hold its own hash: {AGAIN}")
    return ListedFile(path, size, digest)


def _require_same(bundle: Path, entry: ListedFile) -> None:
    path = bundle
    for part in entry.path.split("/"):
        path = path / part
        if path.is_symlink():
            raise BundleRefused(f"{path} is a link, and a bundle has none: {AGAIN}")
    if not path.is_file():
        raise BundleRefused(f"{path} is missing: this bundle is incomplete, {AGAIN}")
    try:
        size = path.stat().st_size
        if size != entry.bytes:
            raise BundleRefused(_not_released(path, f"it has {size} bytes, the manifest says {entry.bytes}"))
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise BundleRefused(f"{path} cannot be read ({error.strerror}): {AGAIN}") from error
    if digest != entry.sha256:
        raise BundleRefused(_not_released(path, "SHA-256 differs"))


def _not_released(path: Path, why: str) -> str:
    return f"{path} is not the file that was released ({why}): {AGAIN}"


def _unlisted(bundle: Path, files: dict[str, ListedFile]) -> list[str]:
    """Files that nobody answers for.

    Raises:
        BundleRefused: one of them is a link or could be run by mistake. Python's own cache is let be: the scripts of
            a bundle neither write nor read it.
    """
    known = {*files, MANIFEST, SIGNATURE}
    unlisted = []
    for path in sorted(bundle.rglob("*")):
        inside = path.relative_to(bundle).as_posix()
        if path.is_symlink():
            raise BundleRefused(f"{path} is a link that the manifest does not list: delete it, or {AGAIN}")
        if path.is_dir() or inside in known:
            continue
        if path.suffix in RUNNABLE and path.parent.name != "__pycache__":
            raise BundleRefused(f"{path} is code that the manifest does not list: delete it, or {AGAIN}")
        unlisted.append(inside)
    return unlisted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path, nargs="?", default=Path(__file__).parent, help="(default: this folder)")
    parser.add_argument("--public-key", type=Path, help=f"PEM file (default: the environment variable {KEY_VARIABLE})")
    arguments = parser.parse_args()
    try:
        verification = verify(arguments.bundle, given_key(arguments.public_key))
    except BundleRefused as refusal:
        sys.exit(str(refusal))
    print(verification.in_words())
    if verification.status == "rejected":
        sys.exit(f"{verification.run} was REJECTED and holds no model: {'; '.join(verification.reasons)}")


if __name__ == "__main__":
    main()
