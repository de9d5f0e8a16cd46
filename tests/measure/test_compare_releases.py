"""Two releases side by side through the real command line, and pairs that must not be compared."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from pipeline.__main__ import ROOT
from pipeline.compare_releases import DRIFT, Timing, read_release, verdict
from pipeline.errors import ArtifactError
from tests.raising import raises

TIMING = Timing(10.0, 100, 0.02, False)


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
        "measurements": [
            _measurement("onnxruntime", "fp32", 80.0),
            _measurement("onnxruntime", "int8", 30.0 * factor),
            _measurement("tensorrt", "fp16", 1.0, status="not run", p50_ms=None),
        ],
    }  # fmt: skip


def _write(folder: Path, perf: dict[str, Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "perf.yaml").open("w") as file:
        YAML(typ="safe", pure=True).dump(perf, file)
    return folder


@pytest.fixture
def a(tmp_path: Path) -> Path:
    return _write(tmp_path / "a", _perf(1.0))


@pytest.fixture
def b(tmp_path: Path) -> Path:
    return _write(tmp_path / "b", _perf(0.75))


def _command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipeline", "compare-releases", *arguments]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(folder)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def _row(text: str, *begins: str) -> list[str]:
    """The rest of the one line that begins with these words."""
    (line,) = [line for line in text.splitlines() if line.split()[: len(begins)] == list(begins)]
    return line.split()[len(begins) :]


def test_two_folders_side_by_side(a: Path, b: Path, tmp_path: Path) -> None:
    done = _command(tmp_path, str(a), str(b))
    assert done.returncode == 0, done.stderr
    place = ("image_to_labels", "1x360x480")
    assert _row(done.stdout, "onnxruntime", "fp32", *place) == ["80.00", "80.00", *["within", "noise"]]
    assert _row(done.stdout, "onnxruntime", "int8", *place)[:3] == ["30.00", "22.50", "faster:"]
    assert "->" not in done.stdout, "their versions are the same"
    assert "tensorrt" not in done.stdout, "what was not run has no times"


def test_what_only_one_of_them_has_is_said(a: Path, b: Path, tmp_path: Path) -> None:
    perf = _perf(1.0)
    perf["measurements"].append(_measurement("openvino", "int8", 14.0, p90_ms=None))
    done = _command(tmp_path, str(a), str(_write(b, perf)))
    row = _row(done.stdout, "openvino", "int8", "image_to_labels", "1x360x480")
    assert (row[:3], row[-1]) == (["-", "14.00", "none:"], "B")


def test_a_release_of_another_revision(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    _write(repository / "reports/releases/toy", _perf(1.0))
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@t"]
    for command in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "-m", "one"], ["tag", "v1"]):
        subprocess.run([*git, *command], cwd=repository, check=True)
    _write(repository / "reports/releases/toy", _perf(0.75))
    done = _command(repository, "v1:toy", "reports/releases/toy")
    assert done.returncode == 0, done.stderr
    assert "faster:" in _row(done.stdout, "onnxruntime", "int8")
    missing = _command(repository, "v1:other", "reports/releases/toy")
    assert (missing.returncode, missing.stdout) == (1, "")
    assert "./reports/releases/other/perf.yaml" in missing.stderr
    assert "'v1'" in missing.stderr


@pytest.mark.parametrize(
    ("spoil", "different"),
    [
        (lambda perf: perf["protocol"].update(threads=4), "threads 2 -> 4"),
        (lambda perf: perf["protocol"].update(split="val"), "split test -> val"),
        (lambda perf: perf["protocol"].pop("calls"), "calls 100 -> None"),
        (lambda perf: perf["machine"].update(cpu="A slow one"), "cpu A fast one -> A slow one"),
        (lambda perf: perf["machine"].update(cpu_limited_to="AVX2"), "cpu_limited_to None -> AVX2"),
    ],
)
def test_releases_that_were_not_measured_alike_are_refused(
    a: Path, tmp_path: Path, spoil: Callable[[dict], object], different: str
) -> None:
    perf = _perf(1.0)
    perf["protocol"]["rounds"] = 3  # all differences are told at once
    spoil(perf)
    done = _command(tmp_path, str(a), str(_write(tmp_path / "b", perf)))
    assert (done.returncode, done.stdout) == (1, "")
    assert "ArtifactError: " in done.stderr
    assert different in done.stderr
    assert "rounds 2 -> 3" in done.stderr


def test_another_version_of_a_runtime_is_told_and_not_refused(a: Path, tmp_path: Path) -> None:
    perf = _perf(1.0)
    perf["machine"]["onnxruntime"] = "1.40.0"
    done = _command(tmp_path, str(a), str(_write(tmp_path / "b", perf)))
    assert done.returncode == 0, done.stderr
    assert "onnxruntime 1.31.1 -> 1.40.0" in done.stdout


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[1, 2]",
        b"run: toy\n",
        b"\xff\xfe\x00binary",
        b"measurements: [{status: measured, p50_ms: 0}]\nprotocol: {}\nmachine: {}\n",
    ],
)
def test_a_damaged_file_is_refused_with_one_message(a: Path, text: bytes) -> None:
    (a / "perf.yaml").write_bytes(text)
    with raises(ArtifactError, a, "perf.yaml") as refused:
        read_release(str(a))
    assert "REVISION:RUN" not in str(refused.value)


@pytest.mark.parametrize("asked", ["nowhere", ":toy", "v1:", "v9:toy"])
def test_what_cannot_be_found_is_said(tmp_path: Path, asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with raises(ArtifactError, f"{asked}/perf.yaml", "REVISION:RUN"):
        read_release(asked)


@pytest.mark.parametrize(
    ("p50", "variation", "calls", "expected"),
    [
        (10.0, 0.02, 100, "within noise"),
        (10.4, 0.001, 10_000, "within noise"),  # less than the drift from day to day
        (10.6, 0.02, 100, "slower: 1.06"),
        (9.0, 0.02, 100, "faster: 0.90"),
        (9.2, 0.24, 100, "within noise"),  # 3 * 1.25 * 0.24 / 10 is 9 %
        (9.2, 0.24, 10_000, "faster: 0.92"),
    ],
)
def test_the_verdict_follows_spread_and_calls(p50: float, variation: float, calls: int, expected: str) -> None:
    assert verdict(TIMING, Timing(p50, calls, variation, False)).startswith(expected)


def test_noisy_measurements_give_no_verdict() -> None:
    noisy = TIMING._replace(noisy=True, p50_ms=99.0)
    assert verdict(TIMING, noisy) == verdict(noisy, TIMING) == "none: noisy"


@given(ratio=st.floats(0.05, 20), variation=st.floats(0, 1), calls=st.integers(1, 5000))
def test_verdicts_are_mirrored(ratio: float, variation: float, calls: int) -> None:
    """What is clearly faster one way is not faster the other way."""
    other = Timing(TIMING.p50_ms * ratio, calls, variation, False)
    forth, back = verdict(TIMING, other), verdict(other, TIMING)
    assert {forth[:6], back[:6]} not in ({"faster"}, {"slower"})
    if abs(ratio - 1) <= DRIFT:
        assert forth == "within noise"
