"""Lock files and lists of licenses are read strictly: what could install another thing is refused."""

from pathlib import Path

import pytest

from pipeline.code_digest import ROOT
from pipeline.deploy.requirements_lock import Licensed, Pin, read_licenses, read_lock, write_licenses
from pipeline.errors import ArtifactError
from tests.raising import raises

HASH, OTHER = "0" * 64, "1" * 64


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    return tmp_path / "requirements.lock"


def test_a_lock_for_all_platforms_is_read_as_it_stands(lock: Path) -> None:
    lock.write_text(
        f"# a comment\nRuamel.Yaml==0.19.1 \\\n    --hash=sha256:{HASH} \\\n    --hash=sha256:{OTHER}\n"
        f"numpy==2.4.6 ; python_full_version < '3.12' \\\n    --hash=sha256:{HASH}\n"
        f"numpy==2.5.5+local ; python_full_version >= '3.12' \\\n    --hash=sha256:{OTHER}\n"
    )
    assert read_lock(lock) == [
        Pin("ruamel-yaml", "0.19.1", "", (HASH, OTHER)),
        Pin("numpy", "2.4.6", 'python_full_version < "3.12"', (HASH,)),
        Pin("numpy", "2.5.5+local", 'python_full_version >= "3.12"', (OTHER,)),
    ]
    assert read_lock(lock)[2].purl == "pkg:pypi/numpy@2.5.5%2Blocal"


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("numpy==2.4.6", ("'numpy==2.4.6'", "--hash")),
        (f"numpy==2.4.6 --hash=sha256:{HASH[:-1]}", ("'numpy==2.4.6 --hash=sha256:", "PEP 508")),
        (f"numpy==2.4.6 --hash=md5:{HASH}", ("'numpy==2.4.6 --hash=md5:", "PEP 508")),
        (f"numpy>=2.4.6 --hash=sha256:{HASH}", ("'numpy>=2.4.6'", "NAME==VERSION")),
        (f"numpy --hash=sha256:{HASH}", ("'numpy'", "NAME==VERSION")),
        (f"numpy==2.* --hash=sha256:{HASH}", ("'numpy==2.*'", "NAME==VERSION")),
        (f"numpy==2.4.6,<3 --hash=sha256:{HASH}", ("'numpy==2.4.6,<3'", "NAME==VERSION")),
        (f"moto[server]==5.0 --hash=sha256:{HASH}", ("'moto[server]==5.0'", "NAME==VERSION")),
        (f"numpy @ https://example.org/numpy.whl --hash=sha256:{HASH}", ("numpy.whl'", "NAME==VERSION")),
        ("--index-url https://example.org/simple", ("'--index-url https://example.org/simple'", "PEP 508")),
        ("-e .", ("'-e .'", "PEP 508")),
    ],
)
def test_a_line_that_could_install_another_thing_is_refused(lock: Path, line: str, values: tuple[str, ...]) -> None:
    lock.write_text(f"pillow==13.0.0 --hash=sha256:{HASH}\n{line}\n")
    with raises(ArtifactError, lock, *values, "make lock"):
        read_lock(lock)


def test_a_lock_that_is_none_is_named(lock: Path) -> None:
    with raises(ArtifactError, lock, "git", "make lock") as caught:
        read_lock(lock)
    assert isinstance(caught.value.__cause__, FileNotFoundError)
    lock.write_bytes(b"\xff\xfe")
    with raises(ArtifactError, lock, "git", "make lock") as caught:
        read_lock(lock)
    assert isinstance(caught.value.__cause__, UnicodeDecodeError)


def test_licenses_are_written_as_they_are_read(tmp_path: Path) -> None:
    rows = [Licensed("b", "1", "MIT", "metadata"), Licensed("a", "2", "Apache-2.0 OR MIT", "its file, line 3")]
    write_licenses(tmp_path / "licenses.csv", rows)
    read = read_licenses(tmp_path / "licenses.csv")
    assert list(read.values()) == sorted(rows)
    assert read[("b", "1")].license == "MIT"


@pytest.mark.parametrize("text", ["", "a,b\n", "package,version,license,source\na,1,MIT\n", 'package,version,"\n'])
def test_what_is_no_list_of_licenses_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "licenses.csv").write_text(text)
    with raises(ArtifactError, tmp_path / "licenses.csv", "git") as caught:
        read_licenses(tmp_path / "licenses.csv")
    assert "make lock" not in str(caught.value)  # which is what to do about one that cannot be read


@pytest.mark.parametrize("lock", ["requirements.lock", "segdistill_runtime/bundle_files/requirements.lock"])
def test_every_line_of_our_own_locks_has_hashes_and_no_address(lock: str) -> None:
    pins = read_lock(ROOT / lock)
    assert len(pins) == len({(pin.name, pin.version) for pin in pins}) > 5
    assert "://" not in (ROOT / lock).read_text()
