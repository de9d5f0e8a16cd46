"""Feed hostile files to every parser: python -m tests.faults.fuzz --seconds 600 [--guided] [--only PARSER]

A parser may accept a file or refuse it with one of its own errors. Anything else is found: another exception, seconds
for a file of a few kilobytes, or gigabytes of memory. The files that did it are kept in --keep.

--guided lets the coverage of our code choose what is mutated further (atheris); without it, variants of good files
are made by tests/faults/mutation.py, and the same seed makes the same ones.
"""

import argparse
import json
import os
import resource
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from random import Random
from typing import NamedTuple

SLOW_S = 10.0
ROOM = 6 * 2**30  # bytes beyond what is there when the first file is read


class Findings(NamedTuple):
    accepted: Counter[str]
    refused: Counter[str]
    found: list[dict[str, str]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=0.0, help="for all parsers together; or give --executions")
    parser.add_argument("--executions", type=int, default=0, help="of each parser")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", action="append", help="name of a parser; may be given again")
    parser.add_argument("--guided", action="store_true")
    parser.add_argument("--keep", type=Path, default=Path("scratch/fuzz"), help="where files go that were found")
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="fuzz"))
    try:
        findings = _guided(asked, folder) if asked.guided else _seeded(asked, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    _tell(findings)
    sys.exit(bool(findings.found))


def _seeded(asked: argparse.Namespace, folder: Path) -> Findings:
    from tests.faults.mutation import mutated

    parsers, findings = _parsers(asked, folder), Findings(Counter(), Counter(), [])
    _limit_memory()
    until = time.monotonic() + asked.seconds
    random, round_ = Random(asked.seed), 0
    while round_ < asked.executions or time.monotonic() < until:
        round_ += 1
        for parser in parsers:
            _try(parser, mutated(random.choice(parser.seeds), random), folder, findings, asked.keep)
    return findings


def _guided(asked: argparse.Namespace, folder: Path) -> Findings:
    import atheris

    with atheris.instrument_imports(include=["pipeline", "models"]):
        parsers = _parsers(asked, folder)
    from tests.faults.mutation import mutated

    findings, until = Findings(Counter(), Counter(), []), time.monotonic() + asked.seconds
    corpus = folder / "corpus"
    corpus.mkdir()
    for number, parser in enumerate(parsers):
        for index, seed in enumerate(parser.seeds):
            (corpus / f"{number}_{index}").write_bytes(bytes([number]) + seed)

    def one(data: bytes) -> None:
        if data and data[0] < len(parsers):
            _try(parsers[data[0]], data[1:], folder, findings, asked.keep)
        if time.monotonic() > until:  # its loop never returns, and runs nothing at the exit
            _tell(findings)
            shutil.rmtree(folder, ignore_errors=True)
            os._exit(bool(findings.found))

    def variant(data: bytes, largest: int, seed: int) -> bytes:
        if data and seed % 2:
            return (data[:1] + mutated(data[1:], Random(seed)))[:largest]
        return atheris.Mutate(data, largest)

    _limit_memory()
    options = [f"-seed={asked.seed + 1}", "-max_len=200000", "-verbosity=0"]
    atheris.Setup([sys.argv[0], *options, str(corpus)], one, custom_mutator=variant)
    atheris.Fuzz()
    return findings


def _parsers(asked: argparse.Namespace, folder: Path) -> list:
    from tests.faults.parsers import all_parsers

    parsers = all_parsers(folder / "examples")
    if not asked.only:
        return parsers
    chosen = [parser for parser in parsers if parser.name in asked.only]
    if len(chosen) != len(asked.only):
        sys.exit(f"no such parser; there are {', '.join(parser.name for parser in parsers)}")
    return chosen


def _limit_memory() -> None:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + ROOM, used + ROOM))


def _try(parser, data: bytes, folder: Path, findings: Findings, keep: Path) -> None:
    at = folder / "at"
    shutil.rmtree(at, ignore_errors=True)
    (at / parser.file).parent.mkdir(parents=True)
    (at / parser.file).write_bytes(data)
    began = time.monotonic()
    try:
        parser.read(at)
        findings.accepted[parser.name] += 1
    except parser.refusals:
        findings.refused[parser.name] += 1
    except BaseException as error:  # a library in Rust that panics raises no Exception
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        _found(parser, data, _in_short(error), findings, keep)
    took = time.monotonic() - began
    if took > SLOW_S:
        _found(parser, data, f"it took {took:.1f} s", findings, keep)


def _in_short(error: BaseException) -> str:
    """The same defect has the same words, whatever the file was."""
    ours = [frame for frame in traceback.extract_tb(error.__traceback__) if "/tests/" not in frame.filename]
    places = [f"{Path(frame.filename).name}:{frame.lineno} {frame.line}" for frame in ours[-3:]]
    return f"{type(error).__name__} at {' < '.join(reversed(places))}"


def _found(parser, data: bytes, what: str, findings: Findings, keep: Path) -> None:
    if any(entry["parser"] == parser.name and entry["what"] == what for entry in findings.found):
        return
    keep.mkdir(parents=True, exist_ok=True)
    file = keep / f"{parser.name.replace(' ', '_')}_{len(findings.found)}"
    file.write_bytes(data)
    findings.found.append({"parser": parser.name, "what": what, "file": str(file)})


def _tell(findings: Findings) -> None:
    names = sorted({*findings.accepted, *findings.refused, *(entry["parser"] for entry in findings.found)})
    table = {name: {"accepted": findings.accepted[name], "refused": findings.refused[name]} for name in names}
    executions = sum(findings.accepted.values()) + sum(findings.refused.values()) + len(findings.found)
    print(json.dumps({"executions": executions, "parsers": table, "found": findings.found}, indent=2), flush=True)


if __name__ == "__main__":
    main()
