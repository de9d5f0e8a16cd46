"""Keys and signatures, also with a program that is not ours."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from pipeline.code_digest import ROOT
from pipeline.deploy.signing import make_key, sign, signing_key
from pipeline.errors import ArtifactError
from tests.raising import raises


def test_a_key_is_for_its_owner_and_its_public_half_for_everybody(tmp_path: Path) -> None:
    public = make_key(tmp_path / "key")
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert b"PRIVATE" in (tmp_path / "key").read_bytes()
    assert public == tmp_path / "key.pub"
    assert b"PUBLIC" in public.read_bytes()
    assert b"PRIVATE" not in public.read_bytes()


@pytest.mark.parametrize("existing", ["key", "key.pub"])
def test_a_key_is_never_overwritten(tmp_path: Path, existing: str) -> None:
    (tmp_path / existing).write_text("mine")
    with raises(ArtifactError, tmp_path / existing) as caught:
        make_key(tmp_path / "key")
    assert caught.value.__cause__ is None  # it was seen before anything was written
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


def test_a_signature_is_always_the_same_and_belongs_to_its_bytes(key: Path) -> None:
    assert sign(b"manifest", key) == sign(b"manifest", key)
    assert sign(b"manifest", key) != sign(b"manifesT", key)
    assert len(sign(b"manifest", key)) == 64


def test_openssl_agrees(key: Path, tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl here")
    (tmp_path / "data").write_bytes(b"manifest")
    (tmp_path / "signature").write_bytes(sign(b"manifest", key))
    command = [
        "openssl", "pkeyutl", "-verify", "-pubin", "-inkey", f"{key}.pub", "-rawin", "-in", str(tmp_path / "data"),
        "-sigfile", str(tmp_path / "signature"),
    ]  # fmt: skip
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    (tmp_path / "data").write_bytes(b"manifesT")
    assert subprocess.run(command, capture_output=True, check=False).returncode != 0


def test_keys_that_cannot_sign_are_named(tmp_path: Path) -> None:
    with raises(ArtifactError, tmp_path / "none", "SEGDISTILL_SIGNING_KEY", "signing-key"):
        sign(b"", tmp_path / "none")
    (tmp_path / "text").write_text("hello")
    with raises(ArtifactError, tmp_path / "text", "PEM"):
        sign(b"", tmp_path / "text")
    curve = generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "curve").write_bytes(curve)
    with raises(ArtifactError, tmp_path / "curve", "Ed25519"):
        sign(b"", tmp_path / "curve")
    locked = Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
    )
    (tmp_path / "locked").write_bytes(locked)
    with raises(ArtifactError, tmp_path / "locked", "PEM", "encrypted"):
        sign(b"", tmp_path / "locked")


def test_the_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEGDISTILL_SIGNING_KEY", raising=False)
    assert signing_key() is None
    monkeypatch.setenv("SEGDISTILL_SIGNING_KEY", "")
    assert signing_key() is None
    monkeypatch.setenv("SEGDISTILL_SIGNING_KEY", "/home/me/key")
    assert signing_key() == Path("/home/me/key")


def test_the_command_makes_a_pair_once(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pipeline", "signing-key", str(tmp_path / "key")]
    first = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert first.returncode == 0, first.stderr
    assert str(tmp_path / "key.pub") in first.stdout
    second = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert second.returncode == 1
    assert "ArtifactError" in second.stderr
    assert "Traceback" not in second.stderr
