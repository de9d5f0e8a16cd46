"""Compare distillation methods by one recipe over several seeds.

    python -m pipeline compare gdd cwd --seeds 3

reads   params.yaml, data/prepared/classes.json, data/curated (samples.csv, statistics.json),
        artifacts/teacher/checkpoint.safetensors
writes  artifacts/comparison/RECIPE/CANDIDATE_seed_N (kept, so that nothing is trained twice),
        reports/comparison/RECIPE/SPLIT
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import get_args

from pipeline.comparison.compare import compare
from pipeline.comparison.plan import ComparisonPaths, with_recipe
from pipeline.errors import ParamsError
from pipeline.params.sections import Split
from pipeline.params.tree import load_params


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "candidates", nargs="*", help="methods, or keys of comparison.candidates in params.yaml (default: all)"
    )
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds, counted from 0")
    parser.add_argument("--split", choices=get_args(Split), help="split to evaluate on (default: evaluation.split)")
    parser.add_argument("--recipe", help="baseline whose recipe every candidate uses (default: comparison.recipe)")


def run(arguments: Namespace) -> None:
    """Run the comparison in the profile of the current folder."""
    if arguments.seeds < 1:
        raise ParamsError(f"--seeds {arguments.seeds}: at least 1 seed is needed")
    params = load_params()
    if arguments.recipe:
        params = with_recipe(params, arguments.recipe)
    recipe = params.comparison.recipe
    split = arguments.split or params.evaluation.split
    paths = ComparisonPaths(
        classes=Path("data/prepared/classes.json"),
        samples=Path("data/curated/samples.csv"),
        statistics=Path("data/curated/statistics.json"),
        teacher=Path("artifacts/teacher/checkpoint.safetensors"),
        pretrained=Path("artifacts/pretraining"),
        scratch=Path("scratch/comparison") / recipe,
        trials=Path("artifacts/comparison") / recipe,
        reports=Path("reports/comparison") / recipe / split,
    )
    compare(params, arguments.candidates, arguments.seeds, split, paths)
