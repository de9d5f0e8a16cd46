"""The benchmark of the mistake scores plants what it says, and counts what it finds."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.mistakes import plant, plant_some, ranks_of
from models.checkpoint import save_checkpoint
from pipeline.code_digest import ROOT
from pipeline.data.classes import IGNORE_INDEX
from tests.small_profile import write_small_profile
from tests.toy import toy_pair, toy_segmenter, write_toy_samples


def test_the_largest_region_of_one_class_is_relabelled() -> None:
    labels = np.zeros((20, 30), dtype=np.uint8)
    labels[:4, :4], labels[10:20, 10:20], labels[:, 25:] = 1, 1, IGNORE_INDEX
    seen = set()
    for seed in range(20):
        planted = plant(labels, [0, 1, 2], 20, np.random.default_rng(seed))
        assert planted is not None
        changed = planted.labels != labels
        assert changed.sum() == planted.pixels == {0: 500 - 116, 1: 100}[planted.right]
        assert (labels[changed] == planted.right).all()
        assert (planted.labels[changed] == planted.wrong).all()
        seen.add((planted.right, planted.wrong))
    assert seen == {(0, 1), (0, 2), (1, 0), (1, 2)}


def test_nothing_is_planted_in_small_regions() -> None:
    labels = np.indices((8, 8)).sum(axis=0).astype(np.uint8) % 3
    assert plant(labels, [0, 1, 2], 30, np.random.default_rng(0)) is None
    masks = {"small": labels, "large": np.zeros((8, 8), dtype=np.uint8), "void": np.full((8, 8), 255, dtype=np.uint8)}
    assert list(plant_some(masks, 3, 30, np.random.default_rng(0))) == ["large"]


def test_so_many_are_planted_and_a_seed_is_a_choice() -> None:
    masks = {f"m{seed}": toy_pair(seed)[1] for seed in range(8)}
    first, again, other = (plant_some(masks, 3, 20, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert len(first) == len(other) == 3
    assert list(first) == list(again) != list(other)


def test_equals_share_the_worst_place() -> None:
    assert ranks_of(["a", "b", "d"], {"a": 0.5, "b": 0.0, "c": 0.9, "d": 0.0}) == {"a": 2, "b": 4, "d": 4}


@pytest.mark.slow
def test_the_benchmark_runs(tmp_path: Path) -> None:
    write_small_profile(tmp_path, ["pspnet_r18"])
    samples = write_toy_samples(tmp_path / "data/curated")
    (tmp_path / "data/prepared").mkdir()
    (samples.parent / "classes.json").rename(tmp_path / "data/prepared/classes.json")
    (tmp_path / "artifacts/teacher").mkdir(parents=True)
    torch.manual_seed(0)
    save_checkpoint(*toy_segmenter(), {}, tmp_path / "artifacts/teacher/checkpoint.safetensors")
    command = [sys.executable, "-m", "pipeline", "bench", "mistakes", "--profile", str(tmp_path), "--split", "train",
               "--count", "2", "--out", str(tmp_path / "mistakes.json")]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    record = json.loads((tmp_path / "mistakes.json").read_text())
    assert (record["masks"], record["planted"], len(record["cases"])) == (4, 2, 2)
    assert record["precision_by_chance"] == 0.5
    assert record["median_rank"] == pytest.approx(np.median([case["rank"] for case in record["cases"]]))
