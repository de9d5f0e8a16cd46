"""Make an Ed25519 key pair for signing bundles; a signature covers the bytes of manifest.json.

Writes the private key to PATH and the public key to PATH.pub. Stage release signs with the key that the environment
variable SEGDISTILL_SIGNING_KEY names. Without this variable a bundle is unsigned, and its card says so.
"""

import argparse
import os
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pipeline.errors import ArtifactError

KEY_VARIABLE = "SEGDISTILL_SIGNING_KEY"


def signing_key() -> Path | None:
    """Return the path of the private key that the environment names; None if it names none."""
    return Path(named) if (named := os.environ.get(KEY_VARIABLE)) else None


def sign(data: bytes, private_key: Path) -> bytes:
    """Return the 64-byte signature; raise ArtifactError if the file is not an unencrypted Ed25519 key."""
    try:
        key = serialization.load_pem_private_key(private_key.read_bytes(), password=None)
    except OSError as error:
        raise ArtifactError(
            f"signing key {private_key} cannot be read ({error.strerror}); set {KEY_VARIABLE} to the private key "
            f"that `python -m pipeline signing-key` wrote, or unset it for an unsigned bundle"
        ) from error
    except Exception as error:  # the package's errors for invalid keys have no common base class
        raise ArtifactError(
            f"{private_key} is not an unencrypted private key in PEM format ({error}); make one with "
            f"`python -m pipeline signing-key`"
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ArtifactError(f"{private_key} is not an Ed25519 key; make one with `python -m pipeline signing-key`")
    return key.sign(data)


def make_key(private_key: Path) -> Path:
    """Write a new key pair, and return the public key's path; ArtifactError if one of the two files exists."""
    key, public_key = Ed25519PrivateKey.generate(), private_key.with_name(f"{private_key.name}.pub")
    pem, password = serialization.Encoding.PEM, serialization.NoEncryption()
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, password)
    known = key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    for path in (private_key, public_key):
        if path.exists():
            raise ArtifactError(f"{path} exists, and overwriting it would lose a key; choose another name")
    for path, data, mode in ((private_key, secret, 0o600), (public_key, known, 0o644)):
        try:
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
                file.write(data)
        except OSError as error:
            raise ArtifactError(f"{path} cannot be written: {error.strerror}") from error
    return public_key


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", type=Path, help="file for the private key; keep it out of the repository")


def run(arguments: argparse.Namespace) -> None:
    public_key = make_key(arguments.path)
    print(f"private key: {arguments.path} (keep it secret)\npublic key: {public_key} (give it to receivers)")
