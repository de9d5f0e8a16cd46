"""Two releases side by side through the real command line, and pairs that must not be compared."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from pipeline.comparison.code import ROOT
from pipeline.releases_compared.comparable import require_comparable
from pipeline.releases_compared.reading import ReleasesError, Timing, read_release
from pipeline.releases_compared.tables import DRIFT, comparison_text, verdict

TIMING = Timing(calls=100, p50_ms=10.0, p90_ms=11.0, variation=0.02, noisy=False)


def _measurement(runtime: str, precision: str, p50: float, **changes: Any) -> dict[str, Any]:
    return {
        "runtime": runtime, "precision": precision, "file": "model.onnx", "provider": "CPUExecutionProvider",
        "threads": 2, "batch": 1, "height": 360, "width": 480, "boundary": "image_to_labels", "status": "measured",
        "reason": "", "calls": 100, "p50_ms": p50, "p90_ms": 1.1 * p50, "p99_ms": None, "mean_ms": p50, "min_ms": p50,
        "coefficient_of_variation": 0.02, "noisy": False, "throughput_images_per_s": 1e3 / p50, "peak_memory_mb": 99.0,
    } | changes  # fmt: skip


def _perf(factor: float) -> dict[str, Any]:
    return {
        "run": "toy",
        "protocol": {"calls": 100, "rounds": 2, "threads": 2, "split": "test", "images": 16},
        "machine": {"cpu": "A fast one", "cpu_flags": "avx2", "cores": 2, "gpu": None, "onnxruntime": "1.31.1",
                    "load_average_before": 0.1 * factor},
        "postprocessing": [],
        "measurements": [
            _measurement("onnxruntime", "fp32", 80.0),
            _measurement("onnxruntime", "int8", 30.0 * factor),
            _measurement("tensorrt", "fp16", 1.0, status="not run", p50_ms=None),
        ],
        "decisions": [],
    }  # fmt: skip


def _numerics(gain: float) -> dict[str, Any]:
    parity = {"runtime": "onnxruntime", "pixel_agreement": 0.9951, "miou": 0.6 + gain}
    elsewhere = {"runtime": "openvino", "pixel_agreement": 0.9876, "miou": 0.59 + gain}
    records = [{"file": "model_int8.onnx", "precision": "int8", "parity": each} for each in (parity, elsewhere)]
    return {"run": "toy", "split": "test", "images": 233, "reference_miou": 0.602 + gain, "artifacts": records,
            "decisions": []}  # fmt: skip


def _write(folder: Path, perf: dict[str, Any], numerics: dict[str, Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, record in (("perf.yaml", perf), ("numerics.yaml", numerics)):
        with (folder / name).open("w") as file:
            YAML(typ="safe", pure=True).dump(record, file)
    return folder


@pytest.fixture
def a(tmp_path: Path) -> Path:
    return _write(tmp_path / "a", _perf(1.0), _numerics(0.0))


@pytest.fixture
def b(tmp_path: Path) -> Path:
    return _write(tmp_path / "b", _perf(0.75), _numerics(0.01))


def _command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipeline.releases_compared", *arguments]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(folder)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def _cells(text: str, *begins: str) -> list[str]:
    """The cells of the one line that begins with these."""
    (line,) = [line for line in text.splitlines() if line.split()[: len(begins)] == list(begins)]
    return line.split()[len(begins) :]


def test_two_folders_side_by_side(a: Path, b: Path, tmp_path: Path) -> None:
    done = _command(tmp_path, str(a), str(b))
    assert done.returncode == 0, done.stderr
    assert _cells(done.stdout, "checkpoint") == ["0.6020", "0.6120", "+1.00"]
    cells = ["0.6000", "0.6100", "+1.00", "99.5100%", "99.5100%"]
    assert _cells(done.stdout, "model_int8.onnx", "(onnxruntime)") == cells
    assert _cells(done.stdout, "model_int8.onnx", "(openvino)") == ["0.5900", "0.6000", "+1.00", "98.7600%", "98.7600%"]
    place = ("image_to_labels", "1x360x480")
    assert _cells(done.stdout, "onnxruntime", "fp32", *place) == [
        "80.00", "80.00", "1.00", "88.00", "88.00", "1.00", "within", "noise",
    ]  # fmt: skip
    assert _cells(done.stdout, "onnxruntime", "int8", *place) == [
        "30.00", "22.50", "0.75", "33.00", "24.75", "0.75", "faster",
    ]  # fmt: skip
    assert "tensorrt" not in done.stdout, "what was not run has no times"
    assert "Rule: B is faster or slower where" in done.stdout


def test_what_only_one_of_them_has_is_said(a: Path, b: Path, tmp_path: Path) -> None:
    perf = _perf(1.0)
    perf["measurements"].append(_measurement("openvino", "int8", 14.0, p90_ms=None))
    text = comparison_text(read_release(str(a), None), read_release(str(_write(b, perf, _numerics(0.0))), None))
    assert _cells(text, "openvino", "int8", "image_to_labels", "1x360x480") == [
        "-",
        "14.00",
        "-",
        "-",
        "only",
        "in",
        "B",
    ]


def test_a_release_of_another_revision(b: Path, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    _write(repository / "reports/releases/toy", _perf(1.0), _numerics(0.0))
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@t"]
    for command in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "-m", "one"], ["tag", "v1"]):
        subprocess.run([*git, *command], cwd=repository, check=True)
    _write(repository / "reports/releases/toy", _perf(0.75), _numerics(0.01))
    done = _command(repository, "v1:toy", "reports/releases/toy")
    assert done.returncode == 0, done.stderr
    assert "faster" in _cells(done.stdout, "onnxruntime", "int8")
    assert _command(repository, "v1", str(b), "--run", "toy").stdout.splitlines()[2:] == done.stdout.splitlines()[2:]
    missing = _command(repository, "v1:other", "reports/releases/toy")
    assert (missing.returncode, missing.stdout) == (1, "")
    assert "git finds no reports/releases/other/perf.yaml at v1" in missing.stderr
    assert "Traceback" not in missing.stderr


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda perf, _: perf["protocol"].update(threads=4), "protocol.threads 2 and 4"),
        (lambda perf, _: perf["protocol"].update(rounds=1), "protocol.rounds 2 and 1"),
        (lambda perf, _: perf["protocol"].pop("calls"), "protocol.calls 100 and None"),
        (lambda perf, _: perf["machine"].update(cpu="A slow one"), "machine.cpu A fast one and A slow one"),
        (lambda perf, _: perf["machine"].update(cpu_limited_to="AVX2"), "machine.cpu_limited_to None and AVX2"),
        (lambda _, numerics: numerics.update(split="val"), "numerics.split test and val"),
        (lambda _, numerics: numerics.update(images=100), "numerics.images 233 and 100"),
        (lambda perf, _: perf["measurements"][0].update(height=180),
         "input sizes 1x360x480 and 1x180x480, 1x360x480"),
    ],
)  # fmt: skip
def test_releases_that_were_not_measured_alike_are_refused(
    a: Path, tmp_path: Path, spoil: Callable[[dict, dict], object], complaint: str
) -> None:
    perf, numerics = _perf(1.0), _numerics(0.0)
    spoil(perf, numerics)
    done = _command(tmp_path, str(a), str(_write(tmp_path / "b", perf, numerics)))
    assert (done.returncode, done.stdout) == (1, "")
    assert "were not measured alike" in done.stderr
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr


def test_all_differences_are_told_at_once(a: Path, b: Path) -> None:
    first, second = read_release(str(a), None), read_release(str(b), None)
    other = replace(second, split="val", protocol={**second.protocol, "threads": 1})
    with pytest.raises(ReleasesError, match=r"protocol\.threads 2 and 1; numerics\.split test and val"):
        require_comparable(first, other)


def test_another_version_of_a_runtime_is_told_and_not_refused(a: Path, tmp_path: Path) -> None:
    perf = _perf(1.0)
    perf["machine"]["onnxruntime"] = "1.40.0"
    done = _command(tmp_path, str(a), str(_write(tmp_path / "b", perf, _numerics(0.0))))
    assert done.returncode == 0, done.stderr
    assert "Versions changed: onnxruntime 1.31.1 -> 1.40.0" in done.stdout


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "not those of a release"),
        ("{", "not those of a release"),
        ("[1, 2]", "not those of a release"),
        ("run: toy\n", "KeyError: 'measurements'"),
        (b"\xff\xfe\x00binary", "not those of a release"),
        ("measurements: [{status: measured, p50_ms: 0}]\nprotocol: {}\nmachine: {}\n", "not those of a release"),
    ],
)
def test_a_damaged_file_is_refused_with_one_message(
    a: Path, b: Path, tmp_path: Path, text: str | bytes, complaint: str
) -> None:
    (b / "perf.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    done = _command(tmp_path, str(a), str(b))
    assert done.returncode == 1
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("asked", "complaint"),
    [("nowhere", "nowhere is no folder; a release of another revision is REVISION:RUN"), (":toy", "is no folder"),
     ("v1:", "is no folder"), ("v9:toy", "git finds no reports/releases/toy/perf.yaml at v9")],
)  # fmt: skip
def test_what_cannot_be_found_is_said(a: Path, tmp_path: Path, asked: str, complaint: str) -> None:
    done = _command(tmp_path, str(a), asked)
    assert done.returncode == 1
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr


def test_a_folder_without_its_files_is_refused(a: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ReleasesError, match=r"empty holds no perf\.yaml"):
        read_release(str(tmp_path / "empty"), None)


@pytest.mark.parametrize(
    ("p50", "variation", "calls", "expected"),
    [
        (10.0, 0.02, 100, "within noise"),
        (10.4, 0.001, 10_000, "within noise"),  # less than the drift from day to day
        (10.6, 0.02, 100, "slower"),
        (9.0, 0.02, 100, "faster"),
        (9.2, 0.24, 100, "within noise"),  # 3 * 1.25 * 0.24 / 10 is 9 %
        (9.2, 0.24, 10_000, "faster"),
    ],
)
def test_the_verdict_follows_spread_and_calls(p50: float, variation: float, calls: int, expected: str) -> None:
    assert verdict(TIMING, TIMING._replace(p50_ms=p50, variation=variation, calls=calls)) == expected


def test_noisy_measurements_give_no_verdict() -> None:
    noisy = TIMING._replace(noisy=True)
    assert verdict(TIMING, noisy._replace(p50_ms=99.0)) == "none: B noisy"
    assert verdict(noisy, noisy) == "none: A and B noisy"


@given(ratio=st.floats(0.05, 20), variation=st.floats(0, 1), calls=st.integers(1, 5000))
def test_verdicts_are_mirrored(ratio: float, variation: float, calls: int) -> None:
    """What is clearly faster one way is not faster the other way."""
    other = Timing(calls, TIMING.p50_ms * ratio, None, variation, False)
    forth, back = verdict(TIMING, other), verdict(other, TIMING)
    assert (forth, back) != ("faster", "faster")
    assert (forth, back) != ("slower", "slower")
    if abs(ratio - 1) <= DRIFT:
        assert forth == "within noise"
