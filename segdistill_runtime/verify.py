"""Check a bundle before anything opens a file of it: python verify.py [--public-key KEY.pub] [BUNDLE]

BUNDLE is a folder, or an archive NAME.zip with its hash beside it as NAME.zip.sha256. Finds files that are missing,
damaged, exchanged or added, and with a public key whether the bundle comes from the holder of the private one. Reads
bytes and JSON only: no model and no image. Needs the standard library; a signature needs the package cryptography too.

A copy of this file lies in every bundle, where it finds damage. Against malice use a copy, and a public key, that did
not come with the bundle: whoever can exchange a model can exchange this file too.
"""

import argparse
import hashlib
import io
import json
import os
import re
import stat
import sys
import zipfile
from pathlib import Path
from typing import NamedTuple

FORMAT = "segdistill-bundle-1"
MANIFEST = "manifest.json"
SIGNATURE = "manifest.json.sig"  # 64 bytes: Ed25519 over the bytes of the manifest
KEY_VARIABLE = "SEGDISTILL_PUBLIC_KEY"
MAX_MANIFEST_BYTES = 4 * 2**20
MAX_ARCHIVE_BYTES = 2**31
SIGNATURE_BYTES = 64
RUNNABLE = frozenset({".py", ".pyc", ".pyd", ".so", ".dll", ".dylib", ".pth", ".sh", ".whl"})
"""An added file of these kinds could be run in place of one of ours."""
AGAIN = "fetch the bundle again"


class Refused(Exception):
    """Something that must not be used, or cannot be used here. The message says what, where, and what to do."""


class BundleRefused(Refused):
    """A bundle that must not be used."""


class Folder:
    """A bundle as a folder."""

    def __init__(self, path: Path):
        self.path = path

    def __contains__(self, name: str) -> bool:
        return os.path.lexists(self.path / name)

    def read(self, name: str, limit: int) -> bytes:
        """Read a file that no link leads to and that has at most `limit` bytes; of a longer one a byte more."""
        path = self.path
        for part in name.split("/"):
            path = path / part
            if path.is_symlink():
                raise BundleRefused(f"{path} is a link, and a bundle has none: {AGAIN}")
        return _read_plain(path, limit)

    def names(self) -> list[str]:
        found = []
        for path in sorted(self.path.rglob("*")):
            name = path.relative_to(self.path).as_posix()
            if path.is_symlink():
                raise BundleRefused(f"{path} is a link that the manifest does not list: delete it, or {AGAIN}")
            if not path.is_dir():
                found.append(name)
        return found


class Archive:
    """A bundle as a zip file, which stays in memory: nothing is extracted. Its own hash is compared first."""

    def __init__(self, path: Path):
        self.path = path
        beside = path.with_name(f"{path.name}.sha256")
        said = _read_plain(beside, 4096).decode("ascii", "replace").split()
        data = _read_plain(path, MAX_ARCHIVE_BYTES)
        if not said or hashlib.sha256(data).hexdigest() != said[0]:
            raise BundleRefused(f"{path} is not the archive that {beside.name} speaks of: {AGAIN}")
        try:
            self.zip = zipfile.ZipFile(io.BytesIO(data))
        except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
            raise BundleRefused(f"{path} is no zip file ({error}): {AGAIN}") from error

    def __contains__(self, name: str) -> bool:
        return name in self.zip.namelist()

    def read(self, name: str, limit: int) -> bytes:
        try:
            with self.zip.open(name) as file:
                return file.read(limit + 1)
        except (KeyError, OSError, zipfile.BadZipFile, ValueError, NotImplementedError, RuntimeError) as error:
            raise BundleRefused(f"{self.path / name} is missing or cannot be read ({error}): {AGAIN}") from error

    def names(self) -> list[str]:
        return [name for name in self.zip.namelist() if not name.endswith("/")]


class ListedFile(NamedTuple):
    """What the manifest says about one file."""

    path: str  # inside the bundle, parts joined with /
    bytes: int
    sha256: str


class Bundle(NamedTuple):
    """A bundle whose files are those of its manifest."""

    path: Path  # a folder or an archive
    source: "Folder | Archive"
    run: str
    status: str  # released or rejected
    reasons: list[str]  # why it was rejected
    signature: str  # valid, not checked (no public key was given), absent
    manifest_sha256: str
    files: dict[str, ListedFile]  # by path
    unlisted: list[str]  # files that the manifest does not know; none of them is runnable

    def read(self, name: str) -> bytes:
        """Read one file: the very bytes that are returned were compared with the manifest.

        Raises:
            BundleRefused: the manifest does not list it, or it has changed since.
        """
        if name not in self.files:
            raise BundleRefused(f"{self.path / name} is not in the manifest: it is no part of this bundle")
        return _read_listed(self.path, self.source, self.files[name])

    def require_model(self) -> None:
        if self.status != "released":
            raise BundleRefused(f"{self.run} was REJECTED and holds no model: {'; '.join(self.reasons)}")

    def summary(self) -> str:
        """Say what was found, one line for each thing."""
        said = {
            "valid": "the signature is valid",
            "not checked": f"WARNING: signed, but NOT CHECKED: give --public-key or set {KEY_VARIABLE}",
            "absent": "WARNING: this bundle is NOT SIGNED: its hashes find damage, not malice",
        }
        lines = [f"{self.run}: {len(self.files)} files are those of the manifest", said[self.signature]]
        if self.unlisted:
            lines.append(f"WARNING: not in the manifest, and not checked: {', '.join(self.unlisted)}")
        return "\n".join(lines)


def verify(bundle: Path, public_key: Path | None) -> Bundle:
    """Compare every file of a bundle with its manifest, the signature first.

    Args:
        public_key: PEM file of the Ed25519 key that the bundle must be signed with; it must not lie in the bundle.

    Raises:
        BundleRefused: the first thing that is wrong.
    """
    source = Archive(bundle) if bundle.suffix == ".zip" else Folder(bundle)
    manifest = source.read(MANIFEST, MAX_MANIFEST_BYTES)
    if len(manifest) > MAX_MANIFEST_BYTES:
        raise BundleRefused(f"{bundle / MANIFEST} has more than {MAX_MANIFEST_BYTES} bytes: {AGAIN}")
    signature = "absent"
    if SIGNATURE in source or public_key is not None:
        signature = "not checked" if public_key is None else "valid"
        _require_signature(bundle, source, manifest, public_key)
    run, status, reasons, files = _parse(bundle / MANIFEST, manifest)
    for entry in files.values():
        _read_listed(bundle, source, entry)
    unlisted = _unlisted(bundle, source, files)
    digest = hashlib.sha256(manifest).hexdigest()
    return Bundle(bundle, source, run, status, reasons, signature, digest, files, unlisted)


def given_key(argument: Path | None) -> Path | None:
    """Return the public key of the command line, or else of the environment."""
    named = os.environ.get(KEY_VARIABLE)
    return argument or (Path(named) if named else None)


def add_key_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--public-key",
        type=Path,
        default=given_key(None),
        help=f"PEM file of the key that must have signed the bundle (default: the environment variable {KEY_VARIABLE})",
    )


def _read_plain(path: Path, limit: int) -> bytes:
    """Read a file that is no link, no folder and no device; of one with more than `limit` bytes one byte more."""
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            raise BundleRefused(f"{path} is a link or no file at all: {AGAIN}")
        with path.open("rb") as file:
            return file.read(limit + 1)
    except FileNotFoundError as error:
        raise BundleRefused(f"{path} is missing: this bundle is incomplete, {AGAIN}") from error
    except OSError as error:
        raise BundleRefused(f"{path} cannot be read ({error.strerror}): {AGAIN}") from error


def _require_signature(bundle: Path, source: "Folder | Archive", manifest: bytes, public_key: Path | None) -> None:
    """Check the signature; without a key its size alone."""
    if public_key is not None and public_key.resolve().is_relative_to(bundle.resolve()):
        raise BundleRefused(f"the public key {public_key} lies in the bundle: use a key that you got another way")
    if SIGNATURE not in source:
        raise BundleRefused(f"{bundle} is not signed ({SIGNATURE} is missing), and a public key was given")
    signature = source.read(SIGNATURE, SIGNATURE_BYTES)
    if len(signature) != SIGNATURE_BYTES:
        raise BundleRefused(f"{bundle / SIGNATURE} does not have the {SIGNATURE_BYTES} bytes of a signature: {AGAIN}")
    if public_key is None:
        return
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        from cryptography.hazmat.primitives.serialization import load_pem_public_key

        key = load_pem_public_key(public_key.read_bytes())
    except ImportError as error:
        raise BundleRefused(f"checking a signature needs the package cryptography: {error}") from error
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
    named = isinstance(reasons, list) and all(isinstance(reason, str) for reason in reasons)
    if not isinstance(run, str) or status not in ("released", "rejected") or not named:
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


def _listed(manifest: Path, entry: object) -> ListedFile:
    """Check one entry; its path stays inside the bundle on every system."""
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


def _read_listed(bundle: Path, source: "Folder | Archive", entry: ListedFile) -> bytes:
    data = source.read(entry.path, entry.bytes)
    why = ""
    if len(data) != entry.bytes:
        found = f"more than {entry.bytes}" if len(data) > entry.bytes else len(data)
        why = f"it has {found} bytes, the manifest says {entry.bytes}"
    elif hashlib.sha256(data).hexdigest() != entry.sha256:
        why = "SHA-256 differs"
    if why:
        raise BundleRefused(f"{bundle / entry.path} is not the file that was released ({why}): {AGAIN}")
    return data


def _unlisted(bundle: Path, source: "Folder | Archive", files: dict[str, ListedFile]) -> list[str]:
    """Return the files that nobody answers for.

    Raises:
        BundleRefused: one of them is a link or could be run by mistake. Python's own cache is let be: the scripts of
            a bundle neither write nor read it.
    """
    unlisted = [name for name in source.names() if name not in {*files, MANIFEST, SIGNATURE}]
    for name in unlisted:
        path = bundle / name
        if path.suffix in RUNNABLE and path.parent.name != "__pycache__":
            raise BundleRefused(f"{path} is code that the manifest does not list: delete it, or {AGAIN}")
    return unlisted


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", type=Path, nargs="?", default=Path(__file__).parent, help="(default: this folder)")
    add_key_argument(parser)


def run(arguments: argparse.Namespace) -> None:
    bundle = verify(arguments.bundle, arguments.public_key)
    print(bundle.summary())
    bundle.require_model()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    try:
        run(parser.parse_args())
    except Refused as refusal:
        sys.exit(str(refusal))


if __name__ == "__main__":
    main()
