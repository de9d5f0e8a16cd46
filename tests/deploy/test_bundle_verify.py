"""verify.py and what it refuses, through the real command line; nothing is opened before it has passed."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data.files import sha256
from pipeline.deploy.archive import write_archive
from pipeline.deploy.signing import make_key, sign
from segdistill_runtime.verify import MAX_MANIFEST_BYTES, BundleRefused, verify
from tests.deploy.release_material import NO_LIMITS, RUN, SOURCE, Material, run_script, write_manifest


def refused(bundle: Path, *arguments: object, script: str = "predict.py") -> str:
    """The one message with which a script of the bundle ends."""
    image = [bundle / "golden/image.png"] if script == "predict.py" else []
    done = run_script(bundle, script, *image, *arguments, cwd=bundle.parent)
    assert done.returncode == 1, done.stdout
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    return done.stderr.strip()


def change_manifest(bundle: Path, change: Callable[[dict], object]) -> None:
    manifest = json.loads((bundle / "manifest.json").read_text())
    change(manifest)
    (bundle / "manifest.json").write_text(json.dumps(manifest))


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def test_a_whole_bundle_passes_and_says_that_it_is_unsigned(bundle: Path) -> None:
    done = run_script(bundle, "verify.py", cwd=bundle.parent)
    assert done.returncode == 0, done.stderr
    assert "files are those of the manifest" in done.stdout
    assert "NOT SIGNED" in done.stdout
    assert done.stdout.count("WARNING") == 1


@pytest.mark.parametrize(
    "file", ["model.onnx", "model_int8.onnx", "predict.py", "golden/image.png", "triton/to_pixels/1/model.onnx"]
)
def test_truncated_and_bit_flipped_files_are_refused(bundle: Path, file: str) -> None:
    whole = (bundle / file).read_bytes()
    (bundle / file).write_bytes(whole[:-1])
    with pytest.raises(BundleRefused, match=rf"{file} is not the file that was released \(it has"):
        verify(bundle, None)
    (bundle / file).write_bytes(whole)
    flip(bundle / file, len(whole) // 2)
    with pytest.raises(BundleRefused, match=rf"{file} is not the file that was released \(SHA-256 differs\)"):
        verify(bundle, None)


def test_damage_is_found_before_anything_is_opened(bundle: Path) -> None:
    flip(bundle / "model.onnx", 100)
    for script in ("verify.py", "predict.py", "self_test.py"):
        refusal = refused(bundle, script=script)
        assert refusal.endswith(
            "model.onnx is not the file that was released (SHA-256 differs): fetch the bundle again"
        )


def test_a_missing_file_is_named(bundle: Path) -> None:
    (bundle / "model_int8.onnx").unlink()
    assert "model_int8.onnx is missing: this bundle is incomplete" in refused(bundle)


def test_an_engine_that_was_exchanged_is_refused(bundle: Path) -> None:
    (bundle / "engines").mkdir()
    (bundle / "engines/fp32.engine").write_bytes(b"vtrt" + bytes(100))
    write_manifest(bundle)
    verify(bundle, None)
    flip(bundle / "engines/fp32.engine", 50)
    with pytest.raises(BundleRefused, match=r"fp32.engine is not the file that was released"):
        verify(bundle, None)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "cannot be used"),
        (b"{", "cannot be used"),
        (b"\xff\xfe", "cannot be used"),
        (b"[" * 100_000, "cannot be used"),
        (b'{"format": 1, "format": 2}', "cannot be used (a key stands twice"),
        (b"[]", "is not of the format segdistill-bundle-1"),
        (b'{"format": "segdistill-bundle-2"}', "is not of the format segdistill-bundle-1"),
        (b'{"format": "segdistill-bundle-1"}', "None is not of the type str"),
        (b" " * (MAX_MANIFEST_BYTES + 1), "has more than 4194304 bytes"),
    ],
)
def test_a_manifest_that_is_none_is_refused(bundle: Path, content: bytes, complaint: str) -> None:
    (bundle / "manifest.json").write_bytes(content)
    with pytest.raises(BundleRefused) as refusal:
        verify(bundle, None)
    assert complaint in str(refusal.value)


def test_a_missing_manifest_is_refused(bundle: Path) -> None:
    (bundle / "manifest.json").unlink()
    assert "manifest.json is missing: this bundle is incomplete" in refused(bundle)


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"run": 1}, "1 is not of the type str"),
        ({"status": "perhaps"}, "has no such status, or lists no files"),
        ({"reasons": "none"}, "'none' is not of the type list"),
        ({"files": {}}, "{} is not of the type list"),
        ({"files": []}, "lists no files"),
        ({"files": ["model.onnx"]}, "'model.onnx' is not of the type ListedFile"),
        ({"files": [{"path": "a", "bytes": "1", "sha256": "0" * 64}]}, "'1' is not of the type int"),
        ({"files": [{"path": "a", "bytes": True, "sha256": "0" * 64}]}, "True is not of the type int"),
        ({"files": [{"path": "a", "bytes": -1, "sha256": "0" * 64}]}, "no such size or SHA-256"),
        ({"files": [{"path": "a", "bytes": 1, "sha256": "0" * 63}]}, "no such size or SHA-256"),
        ({"files": [{"path": "a", "bytes": 1, "sha256": "0" * 64}] * 2}, "lists a file twice"),
        ({"files": [{"path": "manifest.json", "bytes": 1, "sha256": "0" * 64}]}, "cannot hold its own hash"),
    ],
)
def test_values_of_a_wrong_kind_are_refused(bundle: Path, values: dict, complaint: str) -> None:
    change_manifest(bundle, lambda manifest: manifest.update(values))
    with pytest.raises(BundleRefused) as refusal:
        verify(bundle, None)
    assert complaint in str(refusal.value)


@pytest.mark.parametrize(
    "path",
    [
        "../outside.txt",
        "/etc/hostname",
        "cpp/../../outside.txt",
        "./model.onnx",
        "cpp//main.cpp",
        "C:\\x",
        "..",
        "a\x00b",
        "",
    ],
)
def test_paths_stay_inside_the_bundle(bundle: Path, path: str) -> None:
    (bundle.parent / "outside.txt").write_text("secret")
    change_manifest(bundle, lambda manifest: manifest["files"][0].update(path=path))
    with pytest.raises(BundleRefused, match="leads out of the bundle or is not portable"):
        verify(bundle, None)


def test_a_path_that_leads_out_is_refused_on_the_command_line(bundle: Path) -> None:
    change_manifest(bundle, lambda manifest: manifest["files"][0].update(path="../outside.txt"))
    assert "the path '../outside.txt' leads out of the bundle" in refused(bundle)


@pytest.mark.parametrize("linked", ["model.onnx", "cpp", "manifest.json"])
def test_links_are_refused(bundle: Path, linked: str) -> None:
    moved = shutil.move(bundle / linked, bundle.parent / "elsewhere")
    (bundle / linked).symlink_to(moved)
    with pytest.raises(BundleRefused, match=rf"{linked}.* is a link"):
        verify(bundle, None)


def test_a_device_is_no_file(bundle: Path) -> None:
    (bundle / "manifest.json").unlink()
    os.mkfifo(bundle / "manifest.json")
    with pytest.raises(BundleRefused, match="is a link or no file at all"):
        verify(bundle, None)


def test_added_code_is_refused_and_other_additions_are_said(bundle: Path) -> None:
    (bundle / "notes.txt").write_text("mine")
    assert verify(bundle, None).unlisted == ["notes.txt"]
    done = run_script(bundle, "verify.py", cwd=bundle.parent)
    assert "not in the manifest, and not checked: notes.txt" in done.stdout
    (bundle / "cpp/json.py").write_text("raise SystemExit")
    assert "json.py is code that the manifest does not list: delete it" in refused(bundle)
    (bundle / "cpp/json.py").unlink()
    (bundle / "numpy").symlink_to(bundle.parent)
    assert "numpy is a link, and a bundle has none" in refused(bundle)


@pytest.mark.parametrize("name", ["numpy.py", "json.py", "segdistill_runtime/verify.py", "argparse.py"])
def test_code_that_was_put_into_the_bundle_is_not_run(bundle: Path, name: str) -> None:
    """Python itself would import a file that lies beside the script before a package of that name."""
    (bundle / name).parent.mkdir(exist_ok=True)
    (bundle / name).write_text("raise SystemExit('taken over')")
    command = [sys.executable, str(bundle / "self_test.py"), "--runtime", "onnxruntime"]  # not isolated
    done = subprocess.run(command, cwd=bundle.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"{name} is code that the manifest does not list" in done.stderr


def test_a_signature_is_checked_first(bundle: Path, key: Path) -> None:
    public = Path(f"{key}.pub")
    assert "is not signed (manifest.json.sig is missing), and a public key was given" in refused(
        bundle, "--public-key", public
    )
    write_manifest(bundle, key)
    assert verify(bundle, public).signature == "valid"
    assert verify(bundle, None).signature == "not checked"
    done = run_script(bundle, "verify.py", "--public-key", public, cwd=bundle.parent)
    assert "the signature is valid" in done.stdout
    (bundle / "manifest.json").write_bytes((bundle / "manifest.json").read_bytes() + b" ")
    assert "does not fit" in refused(bundle, "--public-key", public)


def test_a_forged_manifest_with_right_hashes_is_found_by_its_signature(bundle: Path, key: Path) -> None:
    write_manifest(bundle, key)
    signature = (bundle / "manifest.json.sig").read_bytes()
    (bundle / "classes.json").write_text("{}")
    write_manifest(bundle)
    (bundle / "manifest.json.sig").write_bytes(signature)
    assert verify(bundle, None).signature == "not checked"
    with pytest.raises(BundleRefused, match="the manifest was changed, or another key signed it"):
        verify(bundle, Path(f"{key}.pub"))


def test_a_stranger_s_signature_is_refused(bundle: Path, key: Path, tmp_path: Path) -> None:
    make_key(tmp_path / "stranger")
    write_manifest(bundle, tmp_path / "stranger")
    with pytest.raises(BundleRefused, match="does not fit"):
        verify(bundle, Path(f"{key}.pub"))


def test_a_key_inside_the_bundle_proves_nothing(bundle: Path, tmp_path: Path) -> None:
    make_key(tmp_path / "stranger")
    shutil.copy(tmp_path / "stranger.pub", bundle / "trust_me.pub")
    write_manifest(bundle, tmp_path / "stranger")
    assert "lies in the bundle" in refused(bundle, "--public-key", bundle / "trust_me.pub")


@pytest.mark.parametrize("length", [0, 63, 65, 10**6])
def test_damaged_signatures_are_refused(bundle: Path, key: Path, length: int) -> None:
    (bundle / "manifest.json.sig").write_bytes(bytes(length))
    for public in (None, Path(f"{key}.pub")):
        with pytest.raises(BundleRefused, match=r"manifest.json.sig does not have the 64 bytes"):
            verify(bundle, public)


def test_a_flipped_signature_is_refused(bundle: Path, key: Path) -> None:
    write_manifest(bundle, key)
    flip(bundle / "manifest.json.sig", 7)
    with pytest.raises(BundleRefused, match="does not fit"):
        verify(bundle, Path(f"{key}.pub"))


def test_public_keys_that_are_none_are_named(bundle: Path, key: Path, tmp_path: Path) -> None:
    write_manifest(bundle, key)
    (tmp_path / "text").write_text("hello")
    for path, complaint in (
        (tmp_path / "none", "cannot be read"),
        (tmp_path / "text", "is not a public key in PEM format"),
        (key, "is not a public key in PEM format"),  # the private one
    ):
        with pytest.raises(BundleRefused, match=complaint):
            verify(bundle, path)


def test_a_rejected_run_is_not_run(material: Material, tmp_path: Path) -> None:
    out = material.release(replace(NO_LIMITS, min_miou=0.9))
    shutil.copy(SOURCE / "verify.py", tmp_path / "verify.py")
    done = run_script(tmp_path, "verify.py", out, cwd=tmp_path)
    assert done.returncode == 1
    assert f"{RUN} was REJECTED and holds no model: mIoU (of 1 of 2 classes: no `b` in test) 0.5000" in done.stderr
    assert "Traceback" not in done.stderr


def test_bytes_that_changed_after_the_check_are_not_given_out(bundle: Path) -> None:
    verification = verify(bundle, None)
    assert verification.read("classes.json") == (bundle / "classes.json").read_bytes()
    flip(bundle / "classes.json", 3)
    with pytest.raises(BundleRefused, match="SHA-256 differs"):
        verification.read("classes.json")
    with pytest.raises(BundleRefused, match="is not in the manifest"):
        verification.read("../elsewhere")


def test_an_archive_is_verified_like_its_folder(bundle: Path, key: Path, tmp_path: Path) -> None:
    write_manifest(bundle, key)
    archives = [write_archive(bundle, tmp_path / name / "toy.zip") for name in ("one", "two")]
    assert archives[0].read_bytes() == archives[1].read_bytes()
    public = Path(f"{key}.pub")
    opened, folder = verify(archives[0], public), verify(bundle, public)
    assert (opened.files, opened.signature, opened.unlisted) == (folder.files, "valid", [])
    assert opened.read("model.onnx") == (bundle / "model.onnx").read_bytes()
    flip(archives[0], 1000)
    with pytest.raises(BundleRefused, match=r"is not the archive that toy\.zip\.sha256 speaks of"):
        verify(archives[0], public)
    archives[1].with_name("toy.zip.sha256").unlink()
    with pytest.raises(BundleRefused, match=r"toy\.zip\.sha256 is missing"):
        verify(archives[1], public)


def test_an_archive_of_another_content_is_refused(bundle: Path, tmp_path: Path) -> None:
    """Its hash fits, and the manifest in it does not."""
    (bundle / "classes.json").write_text("{}")
    with pytest.raises(BundleRefused, match=r"classes\.json is not the file that was released"):
        verify(write_archive(bundle, tmp_path / "toy.zip"), None)
    (tmp_path / "no.zip").write_bytes(b"rubbish")
    (tmp_path / "no.zip.sha256").write_text(f"{sha256(tmp_path / 'no.zip')}  no.zip\n")
    with pytest.raises(BundleRefused, match=r"no\.zip is no zip file"):
        verify(tmp_path / "no.zip", None)


@given(data=st.data())
def test_any_change_of_a_signed_manifest_is_found(
    data: st.DataObject, released: Path, key: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    manifest = (released / "manifest.json").read_bytes()
    at = data.draw(st.integers(0, len(manifest) - 1))
    changed = bytearray(manifest)
    changed[at] ^= data.draw(st.integers(1, 255))
    folder = tmp_path_factory.mktemp("changed")
    (folder / "manifest.json").write_bytes(changed)
    (folder / "manifest.json.sig").write_bytes(sign(manifest, key))
    with pytest.raises(BundleRefused, match="does not fit"):
        verify(folder, Path(f"{key}.pub"))
    shutil.rmtree(folder)


@given(
    manifest=st.binary(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(["format", "run", "status", "reasons", "files", "path", "bytes", "sha256"]), inner
            )
        ),
    ).map(lambda value: json.dumps(value).encode())
)
def test_no_manifest_can_do_more_than_be_refused(manifest: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("any")
    (folder / "manifest.json").write_bytes(manifest)
    with pytest.raises(BundleRefused):
        verify(folder, None)
    shutil.rmtree(folder)
