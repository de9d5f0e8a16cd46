"""verify.py and what it refuses, through the real command line; nothing is opened before it has passed."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data.files import sha256
from pipeline.deploy.archive import write_archive
from pipeline.deploy.signing import make_key, sign
from segdistill_runtime.verify import MAX_MANIFEST_BYTES, SIGNATURES, BundleRefused, verify
from tests.deploy.release_material import NO_LIMITS, RUN, SOURCE, Material, run_script, write_manifest
from tests.raising import raises


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
    assert f"{len(verify(bundle, None).files)} files" in done.stdout
    assert "NOT SIGNED" in done.stdout
    assert done.stdout.count("WARNING") == 1


@pytest.mark.parametrize(
    "file", ["model.onnx", "model_int8.onnx", "predict.py", "golden/image.png", "triton/to_pixels/1/model.onnx"]
)
def test_truncated_and_bit_flipped_files_are_refused(bundle: Path, file: str) -> None:
    whole = (bundle / file).read_bytes()
    (bundle / file).write_bytes(whole[:-1])
    with raises(BundleRefused, bundle / file, len(whole)) as caught:
        verify(bundle, None)
    assert "SHA-256" not in str(caught.value)
    (bundle / file).write_bytes(whole)
    flip(bundle / file, len(whole) // 2)
    with raises(BundleRefused, bundle / file, "SHA-256"):
        verify(bundle, None)


def test_damage_is_found_before_anything_is_opened(bundle: Path) -> None:
    flip(bundle / "model.onnx", 100)
    for script in ("verify.py", "predict.py", "self_test.py"):
        refusal = refused(bundle, script=script)
        assert str(bundle / "model.onnx") in refusal
        assert "SHA-256" in refusal


def test_a_missing_file_is_named(bundle: Path) -> None:
    (bundle / "model_int8.onnx").unlink()
    assert str(bundle / "model_int8.onnx") in refused(bundle)
    with raises(BundleRefused, bundle / "model_int8.onnx") as caught:
        verify(bundle, None)
    assert isinstance(caught.value.__cause__, FileNotFoundError)


def test_an_engine_that_was_exchanged_is_refused(bundle: Path) -> None:
    (bundle / "engines").mkdir()
    (bundle / "engines/fp32.engine").write_bytes(b"vtrt" + bytes(100))
    write_manifest(bundle)
    verify(bundle, None)
    flip(bundle / "engines/fp32.engine", 50)
    with raises(BundleRefused, bundle / "engines/fp32.engine", "SHA-256"):
        verify(bundle, None)


@pytest.mark.parametrize(
    ("content", "values"),
    [
        (b"", ()),
        (b"{", ()),
        (b"\xff\xfe", ()),
        (b"[" * 100_000, ()),
        (b'{"format": 1, "format": 2}', ("'format'",)),
        (b"[]", ("segdistill-bundle-1",)),
        (b'{"format": "segdistill-bundle-2"}', ("segdistill-bundle-1",)),
        (b'{"format": "segdistill-bundle-1"}', ("None", "str")),
        (b" " * (MAX_MANIFEST_BYTES + 1), ("4194304 bytes",)),
    ],
)
def test_a_manifest_that_is_none_is_refused(bundle: Path, content: bytes, values: tuple[str, ...]) -> None:
    (bundle / "manifest.json").write_bytes(content)
    with raises(BundleRefused, bundle / "manifest.json", *values):
        verify(bundle, None)


def test_a_missing_manifest_is_refused(bundle: Path) -> None:
    (bundle / "manifest.json").unlink()
    assert str(bundle / "manifest.json") in refused(bundle)
    with raises(BundleRefused, bundle / "manifest.json") as caught:
        verify(bundle, None)
    assert isinstance(caught.value.__cause__, FileNotFoundError)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"run": 12345}, ("12345", "str")),
        ({"status": "perhaps"}, ("'perhaps'",)),
        ({"reasons": "none"}, ("'none'", "list")),
        ({"files": {}}, ("{}", "list")),
        ({"files": []}, ("'released'", "0 files")),
        ({"files": ["model.onnx"]}, ("'model.onnx'", "ListedFile")),
        ({"files": [{"path": "a", "bytes": "1", "sha256": "0" * 64}]}, ("'1'", "int")),
        ({"files": [{"path": "a", "bytes": True, "sha256": "0" * 64}]}, ("True", "int")),
        ({"files": [{"path": "a", "bytes": -1, "sha256": "0" * 64}]}, ("'a'", "-1 bytes", "0" * 64)),
        ({"files": [{"path": "a", "bytes": 1, "sha256": "0" * 63}]}, ("'a'", "1 bytes", f"'{'0' * 63}'")),
        ({"files": [{"path": "a", "bytes": 1, "sha256": "0" * 64}] * 2}, ("'a'", "2 times")),
        ({"files": [{"path": "manifest.json", "bytes": 1, "sha256": "0" * 64}]}, ("'manifest.json'",)),
    ],
)
def test_values_of_a_wrong_kind_are_refused(bundle: Path, values: dict, named: tuple[str, ...]) -> None:
    change_manifest(bundle, lambda manifest: manifest.update(values))
    with raises(BundleRefused, bundle / "manifest.json", *named):
        verify(bundle, None)


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
    with raises(BundleRefused, bundle / "manifest.json", repr(path)):
        verify(bundle, None)


def test_a_path_that_leads_out_is_refused_on_the_command_line(bundle: Path) -> None:
    change_manifest(bundle, lambda manifest: manifest["files"][0].update(path="../outside.txt"))
    assert "'../outside.txt'" in refused(bundle)


@pytest.mark.parametrize("linked", ["model.onnx", "cpp", "manifest.json"])
def test_links_are_refused(bundle: Path, linked: str) -> None:
    moved = shutil.move(bundle / linked, bundle.parent / "elsewhere")
    (bundle / linked).symlink_to(moved)
    with raises(BundleRefused, bundle / linked) as caught:
        verify(bundle, None)
    assert caught.value.__cause__ is None  # refused for what it is, and not because it could not be read


def test_a_device_is_no_file(bundle: Path) -> None:
    (bundle / "manifest.json").unlink()
    os.mkfifo(bundle / "manifest.json")
    with raises(BundleRefused, bundle / "manifest.json") as caught:
        verify(bundle, None)
    assert caught.value.__cause__ is None


def test_added_code_is_refused_and_other_additions_are_said(bundle: Path) -> None:
    (bundle / "notes.txt").write_text("mine")
    assert verify(bundle, None).unlisted == ["notes.txt"]
    done = run_script(bundle, "verify.py", cwd=bundle.parent)
    (line,) = [line for line in done.stdout.splitlines() if "notes.txt" in line]
    assert "WARNING" in line
    (bundle / "cpp/json.py").write_text("raise SystemExit")
    assert str(bundle / "cpp/json.py") in refused(bundle)
    (bundle / "cpp/json.py").unlink()
    (bundle / "numpy").symlink_to(bundle.parent)
    assert str(bundle / "numpy") in refused(bundle)


@pytest.mark.parametrize("name", ["numpy.py", "json.py", "segdistill_runtime/verify.py", "argparse.py"])
def test_code_that_was_put_into_the_bundle_is_not_run(bundle: Path, name: str) -> None:
    """Python itself would import a file that lies beside the script before a package of that name."""
    (bundle / name).parent.mkdir(exist_ok=True)
    (bundle / name).write_text("raise SystemExit('taken over')")
    command = [sys.executable, str(bundle / "self_test.py"), "--runtime", "onnxruntime"]  # not isolated
    done = subprocess.run(command, cwd=bundle.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert str(bundle / name) in done.stderr
    assert "Traceback" not in done.stderr


def test_a_signature_is_checked_first(bundle: Path, key: Path) -> None:
    public = Path(f"{key}.pub")
    said = refused(bundle, "--public-key", public)
    assert "manifest.json.sig" in said
    assert str(public) not in said  # the key was not even looked for
    write_manifest(bundle, key)
    assert verify(bundle, public).signature == "valid"
    assert verify(bundle, None).signature == "not checked"
    done = run_script(bundle, "verify.py", "--public-key", public, cwd=bundle.parent)
    assert SIGNATURES["valid"] in done.stdout
    (bundle / "manifest.json").write_bytes((bundle / "manifest.json").read_bytes() + b" ")
    said = refused(bundle, "--public-key", public)
    assert str(bundle / "manifest.json") in said
    assert str(public) in said


def test_a_forged_manifest_with_right_hashes_is_found_by_its_signature(bundle: Path, key: Path) -> None:
    write_manifest(bundle, key)
    signature = (bundle / "manifest.json.sig").read_bytes()
    (bundle / "classes.json").write_text("{}")
    write_manifest(bundle)
    (bundle / "manifest.json.sig").write_bytes(signature)
    assert verify(bundle, None).signature == "not checked"
    with raises(BundleRefused, bundle / "manifest.json", f"{key}.pub"):
        verify(bundle, Path(f"{key}.pub"))


def test_a_stranger_s_signature_is_refused(bundle: Path, key: Path, tmp_path: Path) -> None:
    make_key(tmp_path / "stranger")
    write_manifest(bundle, tmp_path / "stranger")
    with raises(BundleRefused, bundle / "manifest.json", f"{key}.pub"):
        verify(bundle, Path(f"{key}.pub"))


def test_a_key_inside_the_bundle_proves_nothing(bundle: Path, tmp_path: Path) -> None:
    make_key(tmp_path / "stranger")
    shutil.copy(tmp_path / "stranger.pub", bundle / "trust_me.pub")
    write_manifest(bundle, tmp_path / "stranger")
    said = refused(bundle, "--public-key", bundle / "trust_me.pub")
    assert str(bundle / "trust_me.pub") in said
    assert "manifest.json" not in said  # its signature was not even looked at


@pytest.mark.parametrize("length", [0, 63, 65, 10**6])
def test_damaged_signatures_are_refused(bundle: Path, key: Path, length: int) -> None:
    (bundle / "manifest.json.sig").write_bytes(bytes(length))
    for public in (None, Path(f"{key}.pub")):
        with raises(BundleRefused, bundle / "manifest.json.sig", "64 bytes"):
            verify(bundle, public)


def test_a_flipped_signature_is_refused(bundle: Path, key: Path) -> None:
    write_manifest(bundle, key)
    flip(bundle / "manifest.json.sig", 7)
    with raises(BundleRefused, bundle / "manifest.json", f"{key}.pub"):
        verify(bundle, Path(f"{key}.pub"))


def test_public_keys_that_are_none_are_named(bundle: Path, key: Path, tmp_path: Path) -> None:
    write_manifest(bundle, key)
    (tmp_path / "text").write_text("hello")
    for path, values, cause in (
        (tmp_path / "none", (), FileNotFoundError),
        (tmp_path / "text", ("PEM",), ValueError),
        (key, ("PEM",), ValueError),  # the private one
    ):
        with raises(BundleRefused, path, *values) as caught:
            verify(bundle, path)
        assert isinstance(caught.value.__cause__, cause)


def test_a_rejected_run_is_not_run(material: Material, tmp_path: Path) -> None:
    out = material.release(replace(NO_LIMITS, min_miou=0.9))
    shutil.copy(SOURCE / "verify.py", tmp_path / "verify.py")
    done = run_script(tmp_path, "verify.py", out, cwd=tmp_path)
    assert done.returncode == 1
    assert [value for value in (RUN, "REJECTED", "mIoU", "`b`", "0.5000") if value not in done.stderr] == []
    assert "Traceback" not in done.stderr


def test_bytes_that_changed_after_the_check_are_not_given_out(bundle: Path) -> None:
    verification = verify(bundle, None)
    assert verification.read("classes.json") == (bundle / "classes.json").read_bytes()
    flip(bundle / "classes.json", 3)
    with raises(BundleRefused, bundle / "classes.json", "SHA-256"):
        verification.read("classes.json")
    with raises(BundleRefused, bundle / "../elsewhere") as caught:
        verification.read("../elsewhere")
    assert caught.value.__cause__ is None  # it was not even looked for


def test_an_archive_is_verified_like_its_folder(bundle: Path, key: Path, tmp_path: Path) -> None:
    write_manifest(bundle, key)
    archives = [write_archive(bundle, tmp_path / name / "toy.zip") for name in ("one", "two")]
    assert archives[0].read_bytes() == archives[1].read_bytes()
    public = Path(f"{key}.pub")
    opened, folder = verify(archives[0], public), verify(bundle, public)
    assert (opened.files, opened.signature, opened.unlisted) == (folder.files, "valid", [])
    assert opened.read("model.onnx") == (bundle / "model.onnx").read_bytes()
    flip(archives[0], 1000)
    with raises(BundleRefused, archives[0], "toy.zip.sha256") as caught:
        verify(archives[0], public)
    assert caught.value.__cause__ is None  # both were read, and compared before the archive was opened
    archives[1].with_name("toy.zip.sha256").unlink()
    with raises(BundleRefused, archives[1].with_name("toy.zip.sha256")) as caught:
        verify(archives[1], public)
    assert isinstance(caught.value.__cause__, FileNotFoundError)


def test_an_archive_of_another_content_is_refused(bundle: Path, tmp_path: Path) -> None:
    """Its hash fits, and the manifest in it does not."""
    released = (bundle / "classes.json").stat().st_size
    (bundle / "classes.json").write_text("{}")
    with raises(BundleRefused, tmp_path / "toy.zip/classes.json", released):
        verify(write_archive(bundle, tmp_path / "toy.zip"), None)
    (tmp_path / "no.zip").write_bytes(b"rubbish")
    (tmp_path / "no.zip.sha256").write_text(f"{sha256(tmp_path / 'no.zip')}  no.zip\n")
    with raises(BundleRefused, tmp_path / "no.zip") as caught:
        verify(tmp_path / "no.zip", None)
    assert isinstance(caught.value.__cause__, zipfile.BadZipFile)


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
    with raises(BundleRefused, folder / "manifest.json", f"{key}.pub"):
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
