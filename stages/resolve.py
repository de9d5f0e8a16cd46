"""Stage resolve: write the parameters and the code digest of every stage, for DVC to compare.

reads   params.yaml, dvc.yaml, the code
writes  artifacts/resolved.json: for each stage its resolved parameters, and the digest of its code
"""

from pathlib import Path

from pipeline.cli import run_command
from pipeline.dvc_file import resolve_stages

if __name__ == "__main__":
    run_command(lambda: resolve_stages(Path(), Path("artifacts/resolved.json")))
