"""Compare distillation methods by one recipe over several seeds: python -m pipeline.comparison gdd cwd --seeds 3

A tool, not a stage.

reads   params.yaml, data/prepared/classes.json, data/curated (samples.csv, statistics.json),
        artifacts/teacher/checkpoint.safetensors
writes  artifacts/comparison/RECIPE/CANDIDATE_seed_N (kept, so that nothing is trained twice),
        reports/comparison/RECIPE/SPLIT
"""

import argparse
from pathlib import Path
from typing import get_args

from pipeline.comparison.compare import compare
from pipeline.comparison.plan import Places, with_recipe
from pipeline.door import run_command
from pipeline.params import Split, load_params


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m pipeline.comparison", description=__doc__)
    parser.add_argument("candidates", nargs="*", help="keys of comparison.candidates in params.yaml; none: all of them")
    parser.add_argument("--seeds", type=int, default=3, help="how many, beginning with 0 (3)")
    parser.add_argument("--split", choices=get_args(Split), help="to judge on; without it evaluation.split")
    parser.add_argument("--recipe", help="the run whose recipe all have; without it comparison.recipe")
    asked = parser.parse_args()
    if asked.seeds < 1:
        parser.error("--seeds must be 1 or more")
    params = load_params()
    if asked.recipe:
        params = with_recipe(params, asked.recipe)
    recipe = params.comparison.recipe
    split = asked.split or params.evaluation.split
    compare(
        params,
        asked.candidates,
        asked.seeds,
        split,
        Places(
            classes=Path("data/prepared/classes.json"),
            samples=Path("data/curated/samples.csv"),
            statistics=Path("data/curated/statistics.json"),
            teacher=Path("artifacts/teacher/checkpoint.safetensors"),
            pretrained=Path("artifacts/pretraining"),
            scratch=Path("scratch/comparison") / recipe,
            runs=Path("artifacts/comparison") / recipe,
            reports=Path("reports/comparison") / recipe / split,
        ),
    )


if __name__ == "__main__":
    run_command(main)
