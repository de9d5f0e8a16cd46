"""An engine built and run through trtexec, for targets that have no Python package of TensorRT."""

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from segdistill_runtime.contract import INPUT, OUTPUT
from segdistill_runtime.engine_build import Settings, build_machine, timing_cache_record
from segdistill_runtime.engine_file import Built, describe
from segdistill_runtime.errors import BuildFailed, NotAvailable

PLACES = ("/usr/src/tensorrt/bin/trtexec", "/opt/tensorrt/bin/trtexec", "/usr/local/tensorrt/bin/trtexec")
WEAK_OPTIONS = {"fp32": [], "fp16": ["--fp16"], "int8": ["--fp16", "--int8"]}


class Trtexec(NamedTuple):
    path: str
    version: str
    options: frozenset[str]  # those that its help names


def find_trtexec() -> Trtexec:
    """Find the trtexec of this machine.

    Raises:
        NotAvailable: there is none, or it does not start.
    """
    path = shutil.which("trtexec") or next((place for place in PLACES if Path(place).is_file()), None)
    if path is None:
        raise NotAvailable(f"no trtexec in PATH or at {', '.join(PLACES)}")
    try:
        done = _run([path, "--help"])
    except OSError as error:
        raise NotAvailable(f"{path} cannot be started: {error}") from error
    version = read_version(done.stdout)
    if version is None:
        raise NotAvailable(f"{path} --help does not say which TensorRT it is of: {_complaints(done)}")
    return Trtexec(path, version, frozenset(re.findall(r"--\w+", done.stdout)))


def read_version(banner: str) -> str | None:
    """`[TensorRT v8502]` is 8.5.2, `[TensorRT v100300]` is 10.3.0."""
    found = re.search(r"\[TensorRT v(\d+)\]", banner)
    if found is None:
        return None
    number = int(found[1])
    major, rest = divmod(number, 10_000 if number >= 100_000 else 1_000)
    return f"{major}.{rest // 100}.{rest % 100}"


def build_options(known: frozenset[str], precision: str, settings: Settings) -> list[str]:
    """What trtexec is told about how to build, in the way that this one understands."""
    if "--stronglyTyped" in known:
        options = ["--stronglyTyped"]
    else:  # before TensorRT 10; where even --fp16 is gone nothing is left to choose
        options = [option for option in WEAK_OPTIONS[precision] if option in known]
    options.append("--noTF32")
    if settings.workspace_mebibytes is not None:
        options.append(f"--memPoolSize=workspace:{settings.workspace_mebibytes}")
    if settings.optimization_level is not None:
        options.append(f"--builderOptimizationLevel={settings.optimization_level}")
    if settings.timing_cache is not None:
        options.append(f"--timingCacheFile={settings.timing_cache}")
    return options


class TrtexecBuilder:
    """Builds and runs with trtexec on the GPU of this machine."""

    backend = "tensorrt"

    def __init__(self, trtexec: Trtexec, capability: str):
        self.trtexec = trtexec
        self.version = trtexec.version
        self.capabilities = [capability]

    def build(self, source_file: str, source: bytes, precision: str, settings: Settings) -> Built:
        """Build one engine from the bytes of an ONNX file."""
        options = build_options(self.trtexec.options, precision, settings)
        before = _read_if_there(settings.timing_cache)
        with tempfile.TemporaryDirectory() as folder:
            graph, plan_file = Path(folder, source_file), Path(folder, "plan")
            graph.write_bytes(source)
            done = _run(
                [self.trtexec.path, f"--onnx={graph}", f"--saveEngine={plan_file}", "--skipInference", *options]
            )
            if done.returncode != 0 or not plan_file.is_file():
                raise BuildFailed(f"{self.trtexec.path} could not build {source_file}: {_complaints(done)}")
            plan = plan_file.read_bytes()
        after = _read_if_there(settings.timing_cache)
        workspace = settings.workspace_mebibytes
        return describe(
            plan,
            source,
            precision=precision,
            backend=self.backend,
            version=self.version,
            compute_capabilities=self.capabilities,
            source_file=source_file,
            builder={
                "flags": [option for option in options if "=" not in option],
                "optimization_level": settings.optimization_level,
                "workspace_bytes": None if workspace is None else workspace << 20,
            },
            inputs=[],
            outputs=[],
            held_types={},
            timing_cache=timing_cache_record(settings.timing_cache, before, after),
            built_on=build_machine(self.capabilities[0]),
        )

    def measure(self, engine: Path, images: Any, calls: int, min_s: float) -> tuple[Any, list[float]]:
        """Run an engine on one image; returns its labels and the milliseconds of each call, host to host."""
        with tempfile.TemporaryDirectory() as folder:
            pixels, output, times = Path(folder, "image.bin"), Path(folder, "output.json"), Path(folder, "times.json")
            pixels.write_bytes(images.tobytes())
            done = _run(
                [
                    *(self.trtexec.path, f"--loadEngine={engine}", f"--loadInputs={INPUT}:{pixels}"),
                    *(f"--exportOutput={output}", f"--exportTimes={times}"),
                    *("--warmUp=500", f"--iterations={calls}", f"--duration={min_s:g}"),
                ]
            )
            if done.returncode != 0:
                raise NotAvailable(f"{self.trtexec.path} could not run {engine}: {_complaints(done)}")
            try:
                labels = read_labels(json.loads(output.read_text()), OUTPUT, images.shape[:3])
                return labels, [float(call["latencyMs"]) for call in json.loads(times.read_text())]
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise NotAvailable(f"{self.trtexec.path} wrote no readable result for {engine}: {error!r}") from error


def read_labels(tensors: list[dict[str, Any]], name: str, shape: tuple[int, ...]) -> Any:
    """The label image in what --exportOutput wrote: uint8, of `shape` (1, H, W)."""
    import numpy as np

    values = np.array({tensor["name"]: tensor["values"] for tensor in tensors}[name])
    if values.dtype.kind not in "iu" or not 0 <= values.min() <= values.max() <= 255:
        raise ValueError(f"{name} holds no train ids")
    return values.astype(np.uint8).reshape(shape)


def _read_if_there(path: Path | None) -> bytes:
    return path.read_bytes() if path is not None and path.is_file() else b""


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _complaints(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line for line in (done.stdout + done.stderr).splitlines() if "[E]" in line]
    return "; ".join(line.partition("[E]")[2].strip() for line in lines[-5:]) or f"exit status {done.returncode}"
