"""How a target decides about its engines, and how it runs them, with a stand-in for TensorRT and for the GPU."""

import ctypes
import hashlib
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image, UnidentifiedImageError

from segdistill_runtime import engine_target
from segdistill_runtime.contract import Contract, GoldenFiles, read_contract
from segdistill_runtime.cuda import TO_DEVICE, CudaRuntime
from segdistill_runtime.engine_file import Description, write_engine
from segdistill_runtime.errors import FileRefused, InputRefused, NotAvailable
from segdistill_runtime.rebuild import Outcome, decide, fastest, measure, read_golden
from segdistill_runtime.targets.target import read_file
from segdistill_runtime.targets.tensorrt import TensorRT
from tests.deploy.tiny_graphs import HEIGHT, WIDTH, tiny_image
from tests.raising import raises

LIMITS = Contract(
    run="toy",
    height=HEIGHT,
    width=WIDTH,
    resize="stretch",
    runtimes=[],
    others=[],
    golden=GoldenFiles(
        "toy_7", "golden/image.png", {"fp32": "golden/labels_fp32.png"}, {"fp32": 0.999, "fp16": 0.99, "int8": 0.9}
    ),
    min_speedup={"fp16": 1.05, "int8": 1.2},
)
CONTRACT = LIMITS.record()


def _ran(precision: str, pixel_agreement: float, p50_ms: float) -> Outcome:
    return Outcome(
        precision, f"{precision}.onnx", "undecided", "", "0", "x.engine", pixel_agreement=pixel_agreement,
        calls=200, p50_ms=p50_ms,
    )  # fmt: skip


def _choices(*outcomes: Outcome) -> dict[str, tuple[str, str]]:
    return {o.precision: (o.status, o.reason) for o in decide(outcomes, LIMITS)}


def test_what_is_right_and_faster_is_kept() -> None:
    outcomes = [_ran("int8", 0.95, 2.0), _ran("fp32", 1.0, 9.0), _ran("fp16", 0.995, 4.0)]
    assert {status for status, _ in _choices(*outcomes).values()} == {"accepted"}
    best = fastest(decide(outcomes, LIMITS))
    assert best is not None
    assert best.precision == "int8"


def test_int8_must_pay_against_the_next_best() -> None:
    found = _choices(_ran("fp32", 1.0, 9.0), _ran("fp16", 0.995, 4.0), _ran("int8", 0.95, 3.5))
    assert found["int8"][0] == "rejected"
    values = ("3.50 ms", "4.00 ms", "fp16", "1.14", "1.2")
    assert [value for value in values if value not in found["int8"][1]] == []
    assert _choices(_ran("fp32", 1.0, 9.0), _ran("int8", 0.95, 7.5))["int8"][0] == "accepted"  # exactly 1.2


def test_fp16_that_is_slower_is_rejected_and_no_measure_for_int8() -> None:
    found = _choices(_ran("fp32", 1.0, 4.0), _ran("fp16", 0.995, 5.0), _ran("int8", 0.95, 3.5))
    assert found["fp16"][0] == "rejected"
    assert "4.00 ms" in found["int8"][1]
    assert "fp32" in found["int8"][1]


def test_fp16_that_is_just_as_fast_brings_nothing() -> None:
    found = _choices(_ran("fp32", 1.0, 4.0), _ran("fp16", 0.995, 4.0))
    assert found["fp16"][0] == "rejected"
    assert found["fp16"][1].count("4.00 ms") == 2
    assert [value for value in ("fp32", "1.00", "1.05") if value not in found["fp16"][1]] == []


def test_wrong_labels_are_a_fault_except_for_int8() -> None:
    found = _choices(_ran("fp32", 0.5, 9.0), _ran("fp16", 0.5, 4.0), _ran("int8", 0.5, 1.0))
    assert {precision: verdict for precision, (verdict, _) in found.items()} == {
        "fp32": "failed", "fp16": "failed", "int8": "rejected",
    }  # fmt: skip
    assert "50.000 %" in found["fp16"][1]
    assert "99 %" in found["fp16"][1]


def test_what_did_not_run_is_not_decided() -> None:
    built = Outcome("int8", "x.onnx", "undecided", "built, not run: --build-only", "0", "x.engine")
    assert decide([built], LIMITS) == [built]
    assert _choices(_ran("int8", 0.95, 1.0))["int8"][0] == "undecided"
    assert fastest([built]) is None


def test_the_contract_gives_the_limits() -> None:
    assert read_contract(json.dumps(CONTRACT).encode()) == LIMITS
    assert json.loads(json.dumps(LIMITS.record()))["min_speedup"] == {"fp16": 1.05, "int8": 1.2}


@pytest.mark.parametrize("missing", ["input", "golden", "min_speedup"])
def test_a_contract_without_limits_is_refused(missing: str) -> None:
    content = json.dumps({key: value for key, value in CONTRACT.items() if key != missing})
    with raises(FileRefused, "preprocessing.json", f"KeyError('{missing}')"):
        read_contract(content.encode())


def test_a_golden_image_needs_labels_of_its_size(tmp_path: Path) -> None:
    contract = read_contract(json.dumps(CONTRACT).encode())
    for size, name in ((4, "image"), (5, "labels")):
        Image.new("RGB" if name == "image" else "L", (size, 3)).save(tmp_path / f"{name}.png")
    files = {contract.golden.image: (tmp_path / "image.png").read_bytes(), contract.golden.labels["fp32"]: b"rubbish"}
    with raises(FileRefused, "golden/labels_fp32.png") as caught:
        read_golden(contract, files.__getitem__)
    assert isinstance(caught.value.__cause__, UnidentifiedImageError)
    files[contract.golden.labels["fp32"]] = (tmp_path / "labels.png").read_bytes()
    with raises(FileRefused, "golden/labels_fp32.png", "8-bit", "golden/image.png"):
        read_golden(contract, files.__getitem__)


class HostMemory:
    """CUDA's calls over the memory of this machine: addresses, sizes and order are the real ones."""

    def __init__(self) -> None:
        self.stream = ctypes.c_void_p(7)
        self.buffers: dict[int, ctypes.Array] = {}
        self.queue: list[tuple[int, int, int]] = []

    def capability(self) -> str:
        return "SM87"

    def allocate(self, size: int) -> int:
        buffer = (ctypes.c_char * size)()
        self.buffers[ctypes.addressof(buffer)] = buffer
        return ctypes.addressof(buffer)

    def free(self, address: int) -> None:
        del self.buffers[address]

    def copy(self, target: int, source: int, size: int, direction: int) -> None:
        device = target if direction == TO_DEVICE else source
        assert size == len(self.buffers[device])
        if direction == TO_DEVICE:
            ctypes.memmove(target, source, size)
        else:
            self.queue.append((target, source, size))  # nothing arrives before the stream is waited for

    def synchronize(self) -> None:
        for target, source, size in self.queue:
            ctypes.memmove(target, source, size)
        self.queue.clear()


class RedEngine:
    """TensorRT's engine and context in one; its network says 1 where red is above 127."""

    def __init__(self) -> None:
        self.addresses: dict[str, int] = {}

    def create_execution_context(self) -> "RedEngine":
        return self

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return {"image": (1, HEIGHT, WIDTH, 3), "labels": (1, HEIGHT, WIDTH)}[name]

    def set_tensor_address(self, name: str, address: int) -> None:
        self.addresses[name] = address

    def execute_async_v3(self, stream: int) -> bool:
        assert stream == 7
        red = ctypes.string_at(self.addresses["image"], HEIGHT * WIDTH * 3)[::3]
        ctypes.memmove(self.addresses["labels"], bytes(value > 127 for value in red), HEIGHT * WIDTH)
        return True


def test_an_engine_runs_through_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The order of calls, addresses and sizes; no GPU has run this."""
    trt = SimpleNamespace(
        __name__="tensorrt",
        __version__="10.3.0",
        Runtime=lambda logger: SimpleNamespace(deserialize_cuda_engine=lambda plan: plan == b"ftrt" and RedEngine()),
    )
    memory = HostMemory()
    monkeypatch.setattr(engine_target, "collecting_logger", lambda package: SimpleNamespace(lines=["out of memory"]))
    monkeypatch.setattr(engine_target, "CudaRuntime", lambda: memory)
    monkeypatch.setitem(sys.modules, "tensorrt", trt)
    description = Description(
        precision="fp16", backend="tensorrt", version="10.3.0", compute_capabilities=["SM87"], source_file="a.onnx",
        source_sha256="0", engine_sha256=hashlib.sha256(b"ftrt").hexdigest(), bytes=4, builder={}, inputs=[],
        outputs=[], held_types={}, timing_cache={}, built_on={},
    )  # fmt: skip
    engine = write_engine(tmp_path, b"ftrt", description)
    image = tiny_image(3)
    labels, times_ms = measure(TensorRT(), engine, image, 20, 0.0)
    assert np.array_equal(labels, (image[..., 0] > 127).astype(np.uint8))
    assert len(times_ms) == 20
    assert not memory.buffers, "memory of the GPU was not given back"
    with TensorRT().open(str(engine), read_file, 0) as runner:
        runner.prepared(image)()
    with raises(InputRefused, "2x2", "16x24"):
        measure(TensorRT(), engine, np.zeros((1, 2, 2, 3), np.uint8), 20, 0.0)
    other = write_engine(tmp_path, b"ftrt", description._replace(compute_capabilities=["SM72"]))
    with raises(NotAvailable, other, "SM72", "SM87"):
        measure(TensorRT(), other, image, 20, 0.0)


def test_a_gpu_that_is_not_there_is_said() -> None:
    if torch.cuda.is_available():
        assert CudaRuntime().capability() == "SM{}{}".format(*torch.cuda.get_device_capability())
        return
    with raises(NotAvailable, "CUDA") as caught:
        CudaRuntime()
    assert "cudaStreamCreate" not in str(caught.value), "a driver is here, and fails"
