"""Every runtime of this machine does the same with the same image, and refuses what is no such image."""

import hashlib
import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.code_digest import ROOT
from pipeline.runtime.artifacts import open_artifact
from pipeline.runtime.torch_runner import CompiledTorchRunner
from segdistill_runtime.engine_file import Description, write_engine
from segdistill_runtime.errors import FileRefused, InputRefused, NotAvailable
from segdistill_runtime.targets import TARGETS
from segdistill_runtime.targets.target import load_target
from tests.raising import raises
from tests.toy import toy_pair

RUNTIMES = {"pytorch_eager": "checkpoint.safetensors", "onnxruntime": "model.onnx", "openvino": "model.onnx"}
on_every_runtime = pytest.mark.parametrize("runtime", RUNTIMES)


def _images(count: int) -> np.ndarray:
    return np.stack([toy_pair(seed)[0] for seed in range(count)])


def _need(runtime: str) -> None:
    if runtime == "openvino":
        pytest.importorskip("openvino", reason="openvino has no wheel for this platform")


def _labels(result: object) -> np.ndarray:
    """The labels of a prepared call, which are in the runtime's own form."""
    return np.asarray(result.numpy() if hasattr(result, "numpy") else result.data)  # type: ignore[attr-defined]


@on_every_runtime
def test_runtimes_agree(files: Path, runtime: str) -> None:
    _need(runtime)
    with open_artifact(files / "checkpoint.safetensors", 1) as reference:
        expected = reference.run(_images(3))
    with open_artifact(files / RUNTIMES[runtime], 1, runtime) as runner:
        labels = runner.run(_images(3))
        assert runner.name == runtime
    assert labels.dtype == np.uint8
    assert labels.shape == (3, 48, 64)
    assert len(np.unique(labels)) > 1, "a network that always says the same proves nothing"
    assert (labels == expected).mean() > 0.9999


@on_every_runtime
def test_a_prepared_call_computes_the_same_and_is_left_alone_by_others(files: Path, runtime: str) -> None:
    _need(runtime)
    first, second = _images(2)[:1], _images(2)[1:]
    with open_artifact(files / RUNTIMES[runtime], 1, runtime) as runner:
        call = runner.prepared(first)
        expected = runner.run(first)
        assert (_labels(call()) == expected).all()
        assert (runner.run(second) != expected).any()
        assert (_labels(call()) == expected).all()


@on_every_runtime
@pytest.mark.parametrize(
    ("spoil", "values"),
    [
        (lambda image: image.astype(np.float32) / 255, ("float32", "uint8")),
        (lambda image: image.transpose(0, 3, 1, 2), ("(1, 3,", "48, 64)", "NCHW")),
        (lambda image: image[0], ("(48, 64,", "3)", "(n, height,")),
        (lambda image: image[:0], ("(0, 48,", "64, 3)")),
        (lambda image: image[..., :1], ("(1, 48,", "64, 1)")),
    ],
)
def test_what_is_no_image_is_refused(
    files: Path, runtime: str, spoil: Callable[[np.ndarray], np.ndarray], values: tuple[str, ...]
) -> None:
    _need(runtime)
    with open_artifact(files / RUNTIMES[runtime], 1, runtime) as runner:
        for method in (runner.run, runner.prepared):
            with raises(InputRefused, *values):
                method(spoil(_images(1)))


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_a_graph_has_one_size(files: Path, runtime: str) -> None:
    _need(runtime)
    with open_artifact(files / "model.onnx", 1, runtime) as runner:
        for method in (runner.run, runner.prepared):
            with raises(InputRefused, "40x64", "48x64"):
                method(_images(1)[:, :40])


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_a_graph_has_one_batch_size(files: Path, runtime: str) -> None:
    _need(runtime)
    with open_artifact(files / "model.onnx", 1) as runner:
        expected = runner.run(_images(4))
    with open_artifact(files / "pairs.onnx", 1, runtime) as runner:
        assert (runner.run(_images(4)) == expected).mean() > 0.9999
        with raises(InputRefused, "3 images", "2"):
            runner.run(_images(3))
        with raises(InputRefused, "4 images", "2"):
            runner.prepared(_images(4))


@pytest.mark.slow
def test_the_compiled_graph_agrees_or_says_why_there_is_none(files: Path) -> None:
    with open_artifact(files / "checkpoint.safetensors", 2, "pytorch_compiled") as runner:
        try:
            labels = runner.run(_images(1))
        except NotAvailable as error:
            pytest.skip(str(error))
    with open_artifact(files / "checkpoint.safetensors", 1) as reference:
        assert (labels == reference.run(_images(1))).mean() > 0.9999


def test_a_compiler_that_fails_is_unavailable(files: Path) -> None:
    def broken(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> Callable:
        raise RuntimeError("no compiler\nand much more")

    with CompiledTorchRunner(files / "checkpoint.safetensors", 1) as runner:
        runner.compiled = torch.compile(runner.graph, backend=broken)
        with raises(NotAvailable, "torch.compile", "RuntimeError", "no compiler") as caught:
            runner.run(_images(1))
        assert "much more" not in str(caught.value)


def test_a_provider_that_does_not_load_is_an_error_and_no_fall_back(files: Path) -> None:
    if torch.cuda.is_available():
        with open_artifact(files / "model.onnx", 1, "onnxruntime_cuda") as runner:
            assert runner.provider == "CUDAExecutionProvider"
            runner.run(_images(1))
    else:
        with raises(NotAvailable, "CUDAExecutionProvider", files / "model.onnx", "NVIDIA"):
            open_artifact(files / "model.onnx", 1, "onnxruntime_cuda")


@pytest.mark.parametrize("runtime", ["pytorch_eager", *TARGETS])
def test_every_runtime_works_here_or_says_why_not(files: Path, tmp_path: Path, runtime: str) -> None:
    artifact = files / RUNTIMES.get(runtime, "model.onnx")
    if runtime in TARGETS and (target := load_target(runtime)).suffix == ".engine":
        version = target.version() if importlib.util.find_spec(target.module) else "10.0.0"
        digest = hashlib.sha256(b"plan").hexdigest()
        description = Description(
            precision="fp32", backend=runtime, version=version, compute_capabilities=["SM86"], source_file="model.onnx",
            source_sha256=digest, engine_sha256=digest, bytes=4, builder={}, inputs=[], outputs=[], held_types={},
            timing_cache={}, built_on={},
        )  # fmt: skip
        artifact = write_engine(tmp_path, b"plan", description)
    try:
        with open_artifact(artifact, 1, runtime) as runner:
            assert runner.run(_images(1)).shape == (1, 48, 64)
    except NotAvailable:
        if runtime in ("pytorch_eager", "onnxruntime"):
            raise


CLOSE_IN_TURN = """
import os, signal, sys
from pathlib import Path
from pipeline.runtime.artifacts import open_artifact
signal.signal(signal.SIGUSR1, lambda *_: print("lived", flush=True))  # as Python handles Ctrl-C
first, second = (open_artifact(Path(sys.argv[1]), 1, "openvino") for _ in range(2))
first.close()
second.close()
os.kill(os.getpid(), signal.SIGUSR1)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="signal stacks are set as Linux does it")
def test_models_of_openvino_that_close_as_they_opened_leave_a_process_that_takes_signals(files: Path) -> None:
    _need("openvino")
    command = [sys.executable, "-c", CLOSE_IN_TURN, str(files / "model.onnx")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "lived\n"), done.stderr


def test_without_openvino_its_runner_says_so(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)  # what Python itself does to forbid an import
    with raises(NotAvailable, "openvino", "pip install"):
        open_artifact(files / "model.onnx", 1, "openvino")


def test_files_and_runtimes_must_fit(files: Path, tmp_path: Path) -> None:
    with raises(FileRefused, tmp_path / "model.onnx", "dvc repro"):
        open_artifact(tmp_path / "model.onnx", 1)
    with raises(FileRefused, files / "checkpoint.safetensors", "openvino", "pytorch_eager"):
        open_artifact(files / "checkpoint.safetensors", 1, "openvino")
    (tmp_path / "model.pkl").write_bytes(b"")
    with raises(FileRefused, tmp_path / "model.pkl", "'.pkl'", ".safetensors"):
        open_artifact(tmp_path / "model.pkl", 1)
