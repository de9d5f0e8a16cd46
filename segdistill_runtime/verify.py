"""Check a bundle before a program opens its files: python verify.py [--public-key KEY.pub] [BUNDLE]

BUNDLE is a folder, or an archive NAME.zip with its hash beside it as NAME.zip.sha256. Finds files that are missing,
damaged, replaced or added. With a public key, also checks that the holder of the private key signed the bundle. Reads
only bytes and JSON, no model and no image. Needs only the standard library, and cryptography to check a signature.

Every bundle contains a copy of this file, which finds damage. Against an attacker, use a copy and a public key that did
not come with the bundle: an attacker who can replace a model can replace this file too.
"""

import argparse
import hashlib
import io
import json
import os
import re
import stat
import sys
import types
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints

FORMAT = "segdistill-bundle-1"
MANIFEST = "manifest.json"
SIGNATURE = "manifest.json.sig"  # 64 bytes: Ed25519 over the bytes of the manifest
KEY_VARIABLE = "SEGDISTILL_PUBLIC_KEY"
MAX_MANIFEST_BYTES = 4 * 2**20
MAX_FILE_BYTES = 2**31
SIGNATURE_BYTES = 64
RUNNABLE = frozenset({".py", ".pyc", ".pyd", ".so", ".dll", ".dylib", ".pth", ".sh", ".whl"})
"""Suffixes of code: a program could run an added file of these kinds in place of one of the bundle."""
SIGNATURES = {
    "valid": "the signature is valid",
    "not checked": f"WARNING: signed, but NOT CHECKED: give --public-key or set {KEY_VARIABLE}",
    "absent": "WARNING: this bundle is NOT SIGNED: its hashes find damage, not malice",
}
AGAIN = "fetch the bundle again"


class Refused(Exception):
    """Something must not be used, or cannot be used here. The message says what is wrong, where, and what to do."""


class BundleRefused(Refused):
    """A bundle that must not be used."""


class Folder:
    """A bundle as a folder."""

    def __init__(self, path: Path):
        self.path = path

    def read(self, name: str, limit: int) -> bytes:
        """Read a file, but at most `limit` + 1 bytes: that many tell the caller that the file is too large."""
        return _read_plain(self.path / name, limit)

    def names(self) -> list[str]:
        paths = sorted(self.path.rglob("*"))
        if links := [path for path in paths if path.is_symlink()]:
            raise BundleRefused(f"{links[0]} is a link, and a bundle must not have links: delete it, or {AGAIN}")
        return [path.relative_to(self.path).as_posix() for path in paths if not path.is_dir()]


class Archive:
    """A bundle as a zip file. Its own hash is checked first; it is read in memory, and nothing is extracted."""

    def __init__(self, path: Path):
        self.path = path
        beside = path.with_name(f"{path.name}.sha256")
        said = _read_plain(beside, 4096).decode("ascii", "replace").split()
        data = _read_plain(path, MAX_FILE_BYTES)
        if said[:1] != [hashlib.sha256(data).hexdigest()]:
            raise BundleRefused(f"the SHA-256 of {path} is not that in {beside.name}: {AGAIN}")
        try:
            self.zip = zipfile.ZipFile(io.BytesIO(data))
        except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
            raise BundleRefused(f"{path} is not a zip file ({error}): {AGAIN}") from error

    def read(self, name: str, limit: int) -> bytes:
        try:
            with self.zip.open(name) as file:
                return file.read(limit + 1)
        except (KeyError, OSError, zipfile.BadZipFile, ValueError, NotImplementedError, RuntimeError) as error:
            raise BundleRefused(f"{self.path / name} is missing or cannot be read ({error}): {AGAIN}") from error

    def names(self) -> list[str]:
        return [name for name in self.zip.namelist() if not name.endswith("/")]


class ListedFile(NamedTuple):
    """The manifest's entry for one file."""

    path: str  # inside the bundle, parts joined with /
    bytes: int
    sha256: str


class Bundle(NamedTuple):
    """A bundle whose files match its manifest."""

    path: Path  # a folder or an archive
    source: Folder | Archive
    run: str
    status: str  # released or rejected
    reasons: list[str]  # why it was rejected
    signature: str  # a key of SIGNATURES
    manifest_sha256: str
    files: dict[str, ListedFile]  # by path
    unlisted: list[str]  # files that are not in the manifest; none of them is code

    def read(self, name: str) -> bytes:
        """Read one file and compare exactly the returned bytes with the manifest; raises BundleRefused."""
        if name not in self.files:
            raise BundleRefused(f"{self.path / name} is not in the manifest: it is not part of this bundle")
        listed = self.files[name]
        data = self.source.read(name, listed.bytes)
        if len(data) != listed.bytes:
            why = f"its size is not the {listed.bytes} bytes of the manifest"
        elif hashlib.sha256(data).hexdigest() != listed.sha256:
            why = "SHA-256 differs"
        else:
            return data
        raise BundleRefused(f"{self.path / name} is not the file that was released ({why}): {AGAIN}")

    def require_model(self) -> None:
        if self.status != "released":
            raise BundleRefused(f"{self.run} was REJECTED and holds no model: {'; '.join(self.reasons)}")

    def summary(self) -> str:
        """Return the result as text, one line for each finding."""
        lines = [f"{self.run}: {len(self.files)} files match the manifest", SIGNATURES[self.signature]]
        if self.unlisted:
            lines.append(f"WARNING: not in the manifest, and not checked: {', '.join(self.unlisted)}")
        return "\n".join(lines)


def verify(bundle: Path, public_key: Path | None) -> Bundle:
    """Check a bundle's signature, then compare every file with the manifest; raises BundleRefused at the first fault.

    An unlisted file is a fault if it is a link, or code that could be run by mistake. Python's own cache is allowed:
    the scripts of a bundle neither write nor read it.

    Args:
        public_key: PEM file of the Ed25519 key that the bundle must be signed with; it must not lie in the bundle.
    """
    source = Archive(bundle) if bundle.suffix == ".zip" else Folder(bundle)
    data = source.read(MANIFEST, MAX_MANIFEST_BYTES)
    if len(data) > MAX_MANIFEST_BYTES:
        raise BundleRefused(f"{bundle / MANIFEST} has more than {MAX_MANIFEST_BYTES} bytes: {AGAIN}")
    names, signature = source.names(), "absent"
    if SIGNATURE in names or public_key is not None:
        signature = "not checked" if public_key is None else "valid"
        _require_signature(bundle, source, SIGNATURE in names, data, public_key)
    run, status, reasons, files = _read_manifest(bundle / MANIFEST, data)
    unlisted = [name for name in names if name not in {*files, MANIFEST, SIGNATURE}]
    digest = hashlib.sha256(data).hexdigest()
    found = Bundle(bundle, source, run, status, reasons, signature, digest, files, unlisted)
    for name in files:
        found.read(name)
    for path in map(Path, unlisted):
        if path.suffix in RUNNABLE and path.parent.name != "__pycache__":
            raise BundleRefused(f"{bundle / path} is code that the manifest does not list: delete it, or {AGAIN}")
    return found


def add_key_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--public-key",
        type=Path,
        default=os.environ.get(KEY_VARIABLE) or None,
        help=f"PEM file of the key that must have signed the bundle (default: the environment variable {KEY_VARIABLE})",
    )


def from_json(kind: Any, value: Any) -> Any:
    """Convert a value from JSON to `kind`: a NamedTuple with exactly these fields, a list, a dict, or a plain type."""
    origin, parts = get_origin(kind), get_args(kind)
    if hasattr(kind, "_fields") and isinstance(value, dict):
        if wrong := set(value) ^ set(kind._fields):
            raise TypeError(f"missing or unknown fields: {', '.join(sorted(wrong))}")
        return kind(**{name: from_json(hint, value[name]) for name, hint in get_type_hints(kind).items()})
    if origin is list and isinstance(value, list):
        return [from_json(parts[0], each) for each in value]
    if origin is tuple and isinstance(value, list) and len(value) == len(parts):
        return tuple(map(from_json, parts, value))
    if origin is dict and isinstance(value, dict):
        return {name: from_json(parts[1], each) for name, each in value.items()}
    plain = parts if origin is types.UnionType else (kind,)
    if kind is Any or type(value) in plain or (type(value) is int and float in plain):
        return value
    raise TypeError(f"{value!r:.80} is not of the type {getattr(kind, '__name__', kind)}")


def _read_manifest(path: Path, data: bytes) -> tuple[str, str, list[str], dict[str, ListedFile]]:
    """Return run, status, reasons and files; on every system, the path of every file must stay inside the bundle."""
    try:
        content = json.loads(data.decode("utf-8"), object_pairs_hook=_without_repeats)
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise ValueError(f"its format is not {FORMAT}, the only one that this file reads")
        run, status = (from_json(str, content.get(name)) for name in ("run", "status"))
        reasons, files = from_json(list[str], content.get("reasons")), from_json(list[ListedFile], content.get("files"))
        if status not in ("released", "rejected") or not files:
            raise ValueError(f"it is {status[:80]!r} with {len(files)} files, not released or rejected with files")
        for name, size, digest in files:
            if not re.fullmatch(r"[A-Za-z0-9_.+-]+(/[A-Za-z0-9_.+-]+)*", name) or {".", ".."} & set(name.split("/")):
                raise ValueError(f"the path {name[:80]!r} leads out of the bundle or is not portable")
            if name in (MANIFEST, SIGNATURE):
                raise ValueError(f"it lists {name!r}, which cannot hold its own hash")
            if not 0 <= size <= MAX_FILE_BYTES or not re.fullmatch(r"[0-9a-f]{64}", digest):
                raise ValueError(f"{name[:80]!r} has {size!r:.80} bytes and SHA-256 {digest[:80]!r}, which no file has")
        ((most, count),) = Counter(entry.path.casefold() for entry in files).most_common(1)
        if count > 1:
            raise ValueError(f"it lists {most[:80]!r} {count} times (upper and lower case are the same)")
    except (ValueError, TypeError, RecursionError) as error:
        raise BundleRefused(f"{path} cannot be used ({error}): {AGAIN}") from error
    return run, status, reasons, {entry.path: entry for entry in files}


def _without_repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
    if repeated := [key for key, count in Counter(key for key, _ in pairs).items() if count > 1]:
        raise ValueError(f"the key {repeated[0][:80]!r} occurs more than once in one object")
    return dict(pairs)


def _read_plain(path: Path, limit: int) -> bytes:
    """Read at most `limit` + 1 bytes of a file; raises BundleRefused for a link, a folder or a device."""
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            raise BundleRefused(f"{path} is a link, or not a file: {AGAIN}")
        with path.open("rb") as file:
            return file.read(limit + 1)
    except FileNotFoundError as error:
        raise BundleRefused(f"{path} is missing, so this bundle is incomplete: {AGAIN}") from error
    except OSError as error:
        raise BundleRefused(f"{path} cannot be read ({error.strerror}): {AGAIN}") from error


def _require_signature(
    bundle: Path, source: Folder | Archive, signed: bool, manifest: bytes, public_key: Path | None
) -> None:
    """Check the signature; without a key, only its size."""
    if public_key is not None and public_key.resolve().is_relative_to(bundle.resolve()):
        raise BundleRefused(f"the public key {public_key} is inside the bundle: use a key from another source")
    if not signed:
        raise BundleRefused(f"{bundle} is not signed ({SIGNATURE} is missing), but a public key was given")
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
    except Exception as error:  # the package's errors for invalid keys share no base class
        raise BundleRefused(f"{public_key} is not a public key in PEM format: {error}") from error
    if not isinstance(key, Ed25519PublicKey):
        raise BundleRefused(f"{public_key} is not an Ed25519 key, and bundles are signed with Ed25519")
    try:
        key.verify(signature, manifest)
    except InvalidSignature as error:
        raise BundleRefused(
            f"the signature of {bundle / MANIFEST} does not fit {public_key}: the manifest was changed, or another "
            f"key signed it; do not use this bundle"
        ) from error


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
