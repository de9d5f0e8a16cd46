"""Make a key pair to sign bundles with: Ed25519 over the bytes of manifest.json.

Writes the private key to PATH and the public key to PATH.pub. Stage release signs with the key that the environment
variable SEGDISTILL_SIGNING_KEY names; without it a bundle is unsigned, and says so.
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

from pipeline.errors import ArtifactError

KEY_VARIABLE = "SEGDISTILL_SIGNING_KEY"
PRIVATE = 0o600  # for its owner's eyes


def signing_key() -> Path | None:
    """The private key that the user's environment names, if there is one."""
    named = os.environ.get(KEY_VARIABLE)
    return Path(named) if named else None


def sign(data: bytes, private_key: Path) -> bytes:
    """The 64 bytes of the signature. The same data and key always give the same bytes.

    Raises:
        ArtifactError: no such file, no PEM file without a password, or a key of another kind.
    """
    try:
        key = load_pem_private_key(private_key.read_bytes(), password=None)
    except OSError as error:
        raise ArtifactError(
            f"signing key {private_key} cannot be read ({error.strerror}); {KEY_VARIABLE} must name the private key "
            f"that `python -m pipeline signing-key` wrote, or be unset for an unsigned bundle"
        ) from error
    except Exception as error:  # what the package raises for bytes that are no key has no common base
        raise ArtifactError(f"{private_key} is not a private key in PEM format without a password: {error}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ArtifactError(f"{private_key} is a key of another kind; bundles are signed with Ed25519")
    return key.sign(data)


def make_key(private_key: Path) -> Path:
    """Write a new key pair; the public key's path is returned. Nothing that exists is overwritten.

    Raises:
        ArtifactError: one of the two files exists or cannot be written.
    """
    key = Ed25519PrivateKey.generate()
    public_key = private_key.with_name(f"{private_key.name}.pub")
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    known = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    if public_key.exists():
        raise ArtifactError(f"{public_key} exists; a key that signed something must not be lost, choose another name")
    _write_new(private_key, secret, PRIVATE)
    _write_new(public_key, known, 0o644)
    return public_key


def _write_new(path: Path, data: bytes, mode: int) -> None:
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(data)
    except FileExistsError as error:
        raise ArtifactError(
            f"{path} exists; a key that signed something must not be lost, choose another name"
        ) from error
    except OSError as error:
        raise ArtifactError(f"{path} cannot be written: {error.strerror}") from error


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", type=Path, help="of the private key; keep it out of the repository")


def run(arguments: argparse.Namespace) -> None:
    public_key = make_key(arguments.path)
    print(f"private key: {arguments.path} (keep it secret)\npublic key: {public_key} (give it to receivers)")
