"""Damaged and hostile files for every parser: each accepts or refuses, in time and with little memory."""

import json
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from pipeline.code_digest import ROOT
from tests.faults.mutation import mutated
from tests.faults.parsers import Parser, all_parsers
from tests.small_profile import environment


@pytest.fixture(scope="module")
def parsers(tmp_path_factory: pytest.TempPathFactory) -> list[Parser]:
    return all_parsers(tmp_path_factory.mktemp("parsers"))


def test_good_files_are_accepted(parsers: list[Parser], tmp_path: Path) -> None:
    """Else the hostile ones would be refused for the wrong reason."""
    for number, parser in enumerate(parsers):
        for index, seed in enumerate(parser.seeds):
            at = tmp_path / f"{number}_{index}"
            (at / parser.file).parent.mkdir(parents=True)
            (at / parser.file).write_bytes(seed)
            if parser.name in ("manifest", "engine"):  # good ones, of files that do not lie beside them
                with pytest.raises(parser.refusals):
                    parser.read(at)
            else:
                parser.read(at)


def test_variants_are_a_function_of_the_seed() -> None:
    data = json.dumps({"a": [1, 2, {"b": "c"}], "d": None}).encode()
    first, second = ([mutated(data, Random(seed)) for seed in range(200)] for _ in range(2))
    assert first == second
    assert len(set(first)) > 150


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(["--executions", "40"], id="short", marks=pytest.mark.slow),
        pytest.param(["--seconds", "300", "--seed", "1"], id="variants", marks=pytest.mark.faults),
        pytest.param(["--seconds", "300", "--guided"], id="guided", marks=pytest.mark.faults),
    ],
)
def test_no_file_gets_through(options: list[str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.faults.fuzz", *options, "--keep", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False)
    print(done.stdout)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-3000:]
    told = json.loads(done.stdout[done.stdout.index("{") :])
    assert told["found"] == []
    assert all(counts["refused"] for counts in told["parsers"].values())
