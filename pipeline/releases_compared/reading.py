"""Read what was measured of a release: perf.yaml and numerics.yaml, from a folder or from a revision of git."""

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.errors import SegdistillError

PERF, NUMERICS = "perf.yaml", "numerics.yaml"
RELEASES = "reports/releases"


class ReleasesError(SegdistillError):
    """Releases that cannot be read, or not be compared."""


class Case(NamedTuple):
    """What was timed."""

    runtime: str
    precision: str
    boundary: str
    batch: int
    height: int
    width: int


class Timing(NamedTuple):
    """How long it took; None where the sample does not support the percentile."""

    calls: int
    p50_ms: float
    p90_ms: float | None
    variation: float  # coefficient of variation of the single calls
    noisy: bool


class Numbers(NamedTuple):
    """What an artifact is worth."""

    miou: float  # 0..1
    pixel_agreement: float  # with the checkpoint, 0..1


@dataclass(frozen=True, kw_only=True)
class Release:
    name: str  # as it was asked for
    run: str
    protocol: dict[str, Any]
    machine: dict[str, Any]
    timings: dict[Case, Timing]
    split: str
    images: int
    reference_miou: float  # of the checkpoint, 0..1
    artifacts: dict[tuple[str, str], Numbers]  # by file and the runtime that gave the labels


def read_release(asked: str, run: str | None) -> Release:
    """A release by its folder, as REVISION:RUN, or by a revision where `run` says of which run.

    Raises:
        ReleasesError: there is no such thing, or its files are not those of a release.
    """
    perf, numerics = _text(asked, run, PERF), _text(asked, run, NUMERICS)
    try:
        return _parsed(asked, _yaml(perf), _yaml(numerics))
    except (YAMLError, KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        raise ReleasesError(
            f"{asked}: {PERF} and {NUMERICS} are not those of a release ({type(error).__name__}: {error}); "
            f"run the stage again: dvc repro release"
        ) from error


def _text(asked: str, run: str | None, file: str) -> str:
    folder = Path(asked)
    if folder.is_dir():
        path = folder / file
        if not path.is_file():
            raise ReleasesError(f"{folder} holds no {file}; give a bundle, or a folder of {RELEASES}")
        return path.read_text(encoding="utf-8", errors="replace")
    revision, _, of_run = asked.rpartition(":") if ":" in asked else (asked, "", run)
    if not revision or not of_run:
        raise ReleasesError(
            f"{asked} is no folder; a release of another revision is REVISION:RUN, for example v1:pspnet_r18_gdd"
        )
    command = ["git", "show", "--end-of-options", f"{revision}:./{RELEASES}/{of_run}/{file}"]
    try:
        shown = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    except OSError as error:
        raise ReleasesError(f"git cannot be run ({error}), and {asked} is no folder") from error
    if shown.returncode != 0:
        raise ReleasesError(f"{asked}: git finds no {RELEASES}/{of_run}/{file} at {revision}: {shown.stderr.strip()}")
    return shown.stdout


def _yaml(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(text)


def _parsed(name: str, perf: Any, numerics: Any) -> Release:
    measured = [entry for entry in perf["measurements"] if entry["status"] == "measured"]
    return Release(
        name=name,
        run=str(numerics["run"]),
        protocol=dict(perf["protocol"]),
        machine=dict(perf["machine"]),
        timings={Case(*(entry[field] for field in Case._fields)): _timing(entry) for entry in measured},
        split=str(numerics["split"]),
        images=int(numerics["images"]),
        reference_miou=float(numerics["reference_miou"]),
        artifacts={
            (str(record["file"]), str(record["parity"]["runtime"])): Numbers(
                float(record["parity"]["miou"]), float(record["parity"]["pixel_agreement"])
            )
            for record in numerics["artifacts"]
        },
    )


def _timing(entry: dict[str, Any]) -> Timing:
    p90 = entry["p90_ms"]
    return Timing(
        calls=int(entry["calls"]),
        p50_ms=_positive(entry["p50_ms"]),
        p90_ms=None if p90 is None else _positive(p90),
        variation=float(entry["coefficient_of_variation"]),
        noisy=bool(entry["noisy"]),
    )


def _positive(value: Any) -> float:
    number = float(value)
    if not 0 < number < float("inf"):
        raise ValueError(f"{value} is no time")
    return number
