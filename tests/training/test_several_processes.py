"""Two processes do what one does with the same batches: losses, weights, running statistics, queues."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from pipeline.code_digest import ROOT
from pipeline.data.crops import BatchShard
from tests.toy import write_toy_samples

METHODS = ["none", "gdd", "diffkd", "cirkd_memory", "skd_pixel", "cwd_dot", "srd"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """A folder for one process and one for two, in each what every method came to."""
    folder = tmp_path_factory.mktemp("several")
    samples = write_toy_samples(folder / "toy")
    outs = {processes: folder / str(processes) for processes in (1, 2)}
    for processes, out in outs.items():
        out.mkdir()
        launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
        done = subprocess.run(
            [*launcher, "-m", "tests.training.several", str(samples), str(out), *METHODS],
            cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=300,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-6000:]
    return outs


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_two_processes_train_what_one_does(method: str, trained: dict[int, Path]) -> None:
    alone, together = (json.loads((trained[n] / f"{method}.json").read_text()) for n in (1, 2))
    for row, joint in zip(alone, together, strict=True):
        del row["iterations_per_s"], joint["iterations_per_s"]
        assert joint == pytest.approx(row, rel=1e-6)
    alone, together = (load_file(trained[n] / f"{method}.safetensors") for n in (1, 2))
    assert together.keys() <= alone.keys()
    for name, tensor in together.items():
        torch.testing.assert_close(tensor, alone[name], rtol=1e-6, atol=1e-9, msg=lambda text, name=name: name + text)


def test_the_shares_of_a_batch_are_the_batch() -> None:
    shards = [BatchShard(24, parts=3, process=process, processes=4) for process in range(4)]
    per_process = [list(shard.crops(5)) for shard in shards]
    assert all(len(part) == 2 for parts in per_process for part in parts)
    assert sorted(draw for parts in per_process for part in parts for draw in part) == list(range(120, 144))
    assert sorted(draw for parts in per_process for draw in parts[0]) == list(range(120, 128))
