"""Stage inspect: what there is to see in the dataset, for the App and for the report.

reads   the teacher's checkpoint, data/prepared/classes.json, data/curated/decisions.csv, artifacts/evaluation
writes  artifacts/inspection (the teacher's predictions, embeddings.npy, samples.jsonl)
"""

from pathlib import Path

from pipeline.door import run_command
from pipeline.inspection.inspect import inspect_dataset
from pipeline.params import load_params


def main() -> None:
    params = load_params()
    inspect_dataset(
        params.inspection,
        params.evaluation,
        params.runs,
        classes=Path("data/prepared/classes.json"),
        decisions=Path("data/curated/decisions.csv"),
        checkpoint=Path("artifacts/teacher/checkpoint.safetensors"),
        evaluated=Path("artifacts/evaluation"),
        out=Path("artifacts/inspection"),
    )


if __name__ == "__main__":
    run_command(main)
