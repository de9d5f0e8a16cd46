"""Compare the latency of two releases, with a verdict for each measurement.

A and B are each a bundle, a folder of reports/releases, or REVISION:RUN (reports/releases/RUN at a revision of git).
Releases that were measured on another machine or by another protocol are refused. `dvc metrics diff REVISION` compares
mIoU and all other metrics.
"""

import argparse
import subprocess
from collections.abc import Iterable
from math import inf, sqrt
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table
from ruamel.yaml import YAML

from pipeline.errors import ArtifactError
from segdistill_runtime.targets import TARGETS

MACHINE = ("cpu", "cpu_flags", "cpu_limited_to", "governor", "turbo", "cores", "gpu")  # must be equal
VERSIONS = ("python", "torch", *TARGETS)  # may differ: they are shown
MEDIAN_SPREAD = 1.2533  # standard error of a median over that of a mean, for a normal sample: sqrt(pi / 2)
DRIFT = 0.05  # relative difference from day to day between two measurements of one file on one machine


class Timing(NamedTuple):
    p50_ms: float
    calls: int
    variation: float  # coefficient of variation of the single calls
    noisy: bool


class Release(NamedTuple):
    protocol: dict[str, Any]
    machine: dict[str, Any]
    timings: dict[str, Timing]  # by runtime, precision, boundary and input


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("a", help="the release to compare with")
    parser.add_argument("b", help="the release that is judged")


def run(arguments: argparse.Namespace) -> None:
    a, b = read_release(arguments.a), read_release(arguments.b)
    protocol = differences(a.protocol, b.protocol, {**a.protocol, **b.protocol})
    if different := protocol + differences(a.machine, b.machine, MACHINE):
        raise ArtifactError(f"measured differently: {'; '.join(different)}. Measure both on one machine (`dvc repro`)")
    table = Table("p50 in ms", *"AB", "verdict on B", box=None)
    for case in {**a.timings, **b.timings}:
        pair = a.timings.get(case), b.timings.get(case)
        table.add_row(case, *("-" if timing is None else f"{timing.p50_ms:.2f}" for timing in pair), verdict(*pair))
    print("versions:", "; ".join(differences(a.machine, b.machine, VERSIONS)) or "the same")
    Console(width=120, highlight=False).print(table)


def differences(a: dict[str, Any], b: dict[str, Any], names: Iterable[str]) -> list[str]:
    return [f"{name} {a.get(name)} -> {b.get(name)}" for name in names if a.get(name) != b.get(name)]


def verdict(a: Timing | None, b: Timing | None) -> str:
    """Return faster or slower if the medians differ by more than three standard errors and by more than 5 %."""
    if a is None or b is None or a.noisy or b.noisy:
        return "none: noisy" if a and b else f"none: only in {'A' if a else 'B'}"
    error = MEDIAN_SPREAD * sqrt(a.variation**2 / a.calls + b.variation**2 / b.calls)
    ratio = b.p50_ms / a.p50_ms
    if abs(ratio - 1) <= max(3 * error, DRIFT):
        return "within noise"
    return f"{'slower' if ratio > 1 else 'faster'}: {ratio:.2f} of A's time"


def read_release(asked: str) -> Release:
    """Read the perf.yaml of a release; raise ArtifactError if it is missing or damaged."""
    text = _text(Path(asked) / "perf.yaml", *asked.rpartition(":")[::2])
    try:
        perf, timings = YAML(typ="safe", pure=True).load(text), {}
        for entry in (entry for entry in perf["measurements"] if entry["status"] == "measured"):
            case = "{runtime} {precision} {boundary} {batch}x{height}x{width}".format_map(entry)
            p50, calls = float(entry["p50_ms"]), int(entry["calls"])
            if not (0 < p50 < inf and calls > 0):
                raise ValueError(f"{case} has {p50} ms in {calls} calls")
            timings[case] = Timing(p50, calls, float(entry["coefficient_of_variation"]), bool(entry["noisy"]))
        return Release(dict(perf["protocol"]), dict(perf["machine"]), timings)
    except Exception as error:  # damaged YAML can raise any error
        raise ArtifactError(f"{asked}: perf.yaml is damaged ({type(error).__name__}: {error})") from error


def _text(file: Path, revision: str, run: str) -> str:
    if file.is_file():
        return file.read_text(encoding="utf-8", errors="replace")
    path = f"./reports/releases/{run}/perf.yaml"
    shown = subprocess.run(["git", "show", "--end-of-options", f"{revision}:{path}"], capture_output=True, check=False)
    if not (revision and run) or shown.returncode:
        raise ArtifactError(f"no {file}, and git has no {path} at revision {revision!r}; give a folder or REVISION:RUN")
    return shown.stdout.decode(errors="replace")
