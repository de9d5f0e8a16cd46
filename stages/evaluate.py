"""Stage evaluate: one checkpoint is judged on whole images of the evaluation split.

reads   the checkpoint of RUN (or of the teacher), data/prepared/classes.json, data/curated/samples.csv
writes  artifacts/evaluation/RUN (predictions, confusion, per image, pictures), reports/metrics/evaluate/RUN.json
"""

import argparse
from pathlib import Path

from pipeline.door import run_command
from pipeline.measure.evaluate import RunFacts, evaluate_checkpoint
from pipeline.params import load_params


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", help="a key of `runs` in params.yaml, or `teacher`")
    name = parser.parse_args().run
    params = load_params()
    if name == "teacher":
        facts = RunFacts(name=name, method="none", weights={}, seed=params.teacher.seed)
        folder = Path("artifacts/teacher")
    else:
        run = params.run(name)
        facts = RunFacts(name=name, method=run.method, weights=run.distill, seed=run.seed)
        folder = Path("artifacts/students") / name
    evaluate_checkpoint(
        facts,
        params.evaluation,
        input_size=(params.export.height, params.export.width),
        classes=Path("data/prepared/classes.json"),
        samples=Path("data/curated/samples.csv"),
        checkpoint=folder / "checkpoint.safetensors",
        out=Path("artifacts/evaluation") / name,
        metrics=Path("reports/metrics/evaluate") / f"{name}.json",
    )


if __name__ == "__main__":
    run_command(main)
