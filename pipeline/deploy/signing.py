"""Signatures of bundles: Ed25519 over the bytes of manifest.json, with a key that the user keeps.

python -m pipeline.deploy.signing make-key PATH writes a new private key to PATH and its public key to PATH.pub. Stage
release signs with the key that SEGDISTILL_SIGNING_KEY names; without it a bundle is unsigned, and says so.
"""

import argparse
import os
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from pipeline.door import run_command
from pipeline.errors import SegdistillError

KEY_VARIABLE = "SEGDISTILL_SIGNING_KEY"
PRIVATE = 0o600  # for its owner's eyes


class SigningError(SegdistillError):
    """A key that cannot be used or written."""


def signing_key() -> Path | None:
    """The private key that the user's environment names, if there is one."""
    named = os.environ.get(KEY_VARIABLE)
    return Path(named) if named else None


def sign(data: bytes, private_key: Path) -> bytes:
    """The 64 bytes of the signature. The same data and key always give the same bytes.

    Raises:
        SigningError: no such file, no PEM file without a password, or a key of another kind.
    """
    try:
        key = load_pem_private_key(private_key.read_bytes(), password=None)
    except OSError as error:
        raise SigningError(
            f"signing key {private_key} cannot be read ({error.strerror}); {KEY_VARIABLE} must name the private key "
            f"that `python -m pipeline.deploy.signing make-key` wrote, or be unset for an unsigned bundle"
        ) from error
    except Exception as error:  # what the package raises for bytes that are no key has no common base
        raise SigningError(f"{private_key} is not a private key in PEM format without a password: {error}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise SigningError(f"{private_key} is a key of another kind; bundles are signed with Ed25519")
    return key.sign(data)


def make_key(private_key: Path) -> Path:
    """Write a new key pair; the public key's path is returned. Nothing that exists is overwritten.

    Raises:
        SigningError: one of the two files exists or cannot be written.
    """
    key = Ed25519PrivateKey.generate()
    public_key = private_key.with_name(f"{private_key.name}.pub")
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    known = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    if public_key.exists():
        raise SigningError(f"{public_key} exists; a key that signed something must not be lost, choose another name")
    _write_new(private_key, secret, PRIVATE)
    _write_new(public_key, known, 0o644)
    return public_key


def _write_new(path: Path, data: bytes, mode: int) -> None:
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(data)
    except FileExistsError as error:
        raise SigningError(
            f"{path} exists; a key that signed something must not be lost, choose another name"
        ) from error
    except OSError as error:
        raise SigningError(f"{path} cannot be written: {error.strerror}") from error


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    make = commands.add_parser("make-key", help="write a new key pair")
    make.add_argument("path", type=Path, help="of the private key; keep it out of the repository")
    path = parser.parse_args().path
    print(f"private key: {path} (keep it secret)\npublic key: {make_key(path)} (give it to receivers)")


if __name__ == "__main__":
    run_command(main)
