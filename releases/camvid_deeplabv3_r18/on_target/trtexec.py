"""An engine built and run through trtexec, for targets that have no Python package of TensorRT."""

import hashlib
import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from .engine_builder import BuildFailed, Built, Settings, build_machine, timing_cache_record
from .engine_file import MARKS, Description, EngineRefused
from .session import CALLS, MIN_S, Measured

PLACES = ("/usr/src/tensorrt/bin/trtexec", "/opt/tensorrt/bin/trtexec", "/usr/local/tensorrt/bin/trtexec")
WEAK_OPTIONS = {"fp32": [], "fp16": ["--fp16"], "int8": ["--fp16", "--int8"]}


class Trtexec(NamedTuple):
    path: str
    version: str
    options: frozenset[str]  # those that its help names


def find_trtexec() -> tuple[Trtexec | None, str]:
    """The trtexec of this machine, otherwise the reason why there is none."""
    path = shutil.which("trtexec") or next((place for place in PLACES if Path(place).is_file()), None)
    if path is None:
        return None, f"no trtexec in PATH or at {', '.join(PLACES)}"
    try:
        done = _run([path, "--help"])
    except OSError as error:
        return None, f"{path} cannot be started: {error}"
    version = read_version(done.stdout)
    if version is None:
        return None, f"{path} --help does not say which TensorRT it is of: {_complaints(done)}"
    return Trtexec(path, version, frozenset(re.findall(r"--\w+", done.stdout))), ""


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


class TrtexecTarget:
    """Builds and runs with trtexec on the GPU of this machine."""

    backend = "tensorrt"

    def __init__(self, trtexec: Trtexec, capability: str):
        self.trtexec = trtexec
        self.version = trtexec.version
        self.capabilities = [capability]

    def build(self, source: Path, content: bytes, precision: str, settings: Settings, out: Path) -> Built:
        """`content` is what was verified of the ONNX file `source`; scratch files go to a folder in `out`."""
        options = build_options(self.trtexec.options, precision, settings)
        before = _read_if_there(settings.timing_cache)
        with tempfile.TemporaryDirectory(dir=out) as folder:
            graph, plan_file = Path(folder, source.name), Path(folder, "plan")
            graph.write_bytes(content)
            done = _run(
                [self.trtexec.path, f"--onnx={graph}", f"--saveEngine={plan_file}", "--skipInference", *options]
            )
            if done.returncode != 0 or not plan_file.is_file():
                raise BuildFailed(f"{self.trtexec.path} could not build {source.name}: {_complaints(done)}")
            plan = plan_file.read_bytes()
        if not plan.startswith(MARKS["tensorrt"]):
            raise BuildFailed(f"{self.trtexec.path} wrote an engine that begins with {plan[:4]!r}")
        after = _read_if_there(settings.timing_cache)
        description = Description(
            precision=precision,
            backend=self.backend,
            version=self.version,
            compute_capabilities=self.capabilities,
            source_file=source.name,
            source_sha256=hashlib.sha256(content).hexdigest(),
            engine_sha256=hashlib.sha256(plan).hexdigest(),
            bytes=len(plan),
            builder={"flags": [option for option in options if "=" not in option], **_levels(settings)},
            inputs=[],
            outputs=[],
            held_types={},
            timing_cache=timing_cache_record(settings.timing_cache, before, after),
            built_on=build_machine(self.capabilities[0]),
        )
        return Built(plan, description, None)  # trtexec has written its cache itself

    def measure(self, engine: Path, contract_input: str, contract_output: str, image: Any) -> Measured:
        with tempfile.TemporaryDirectory() as folder:
            pixels, output, times = Path(folder, "image.bin"), Path(folder, "output.json"), Path(folder, "times.json")
            pixels.write_bytes(image.tobytes())
            done = _run(
                [
                    *(self.trtexec.path, f"--loadEngine={engine}", f"--loadInputs={contract_input}:{pixels}"),
                    *(f"--exportOutput={output}", f"--exportTimes={times}"),
                    *("--warmUp=500", f"--iterations={CALLS}", f"--duration={MIN_S:g}"),
                ]
            )
            if done.returncode != 0:
                raise EngineRefused(f"{self.trtexec.path} could not run {engine}: {_complaints(done)}")
            try:
                return Measured(
                    read_labels(json.loads(output.read_text()), contract_output, image.shape[:3]),
                    [float(call["latencyMs"]) for call in json.loads(times.read_text())],
                )
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise EngineRefused(f"{self.trtexec.path} wrote no readable result for {engine}: {error!r}") from error


def read_labels(tensors: list[dict[str, Any]], name: str, shape: tuple[int, ...]) -> Any:
    """The label image in what --exportOutput wrote: uint8, of `shape` (1, H, W)."""
    import numpy as np

    values = np.array({tensor["name"]: tensor["values"] for tensor in tensors}[name])
    if values.dtype.kind not in "iu" or not 0 <= values.min() <= values.max() <= 255:
        raise ValueError(f"{name} holds no train ids")
    return values.astype(np.uint8).reshape(shape)


def _levels(settings: Settings) -> dict[str, int | None]:
    workspace = settings.workspace_mebibytes
    return {
        "optimization_level": settings.optimization_level,
        "workspace_bytes": None if workspace is None else workspace << 20,
    }


def _read_if_there(path: Path | None) -> bytes:
    return path.read_bytes() if path is not None and path.is_file() else b""


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _complaints(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line for line in (done.stdout + done.stderr).splitlines() if "[E]" in line]
    return "; ".join(line.partition("[E]")[2].strip() for line in lines[-5:]) or f"exit status {done.returncode}"
