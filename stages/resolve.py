"""Stage resolve: the parameters and the code of every stage, for DVC to compare.

reads   params.yaml, dvc.yaml, the code
writes  artifacts/resolved.json: for each stage its resolved parameters, and a digest of the code that it runs
"""

from pathlib import Path

from pipeline.cli import run_command
from pipeline.resolve import resolve_stages


def main() -> None:
    resolve_stages(profile=Path(), out=Path("artifacts/resolved.json"))


if __name__ == "__main__":
    run_command(main)
