"""make compare-releases: what became faster, and what became better, from one release of a run to another.

A and B are folders with perf.yaml and numerics.yaml (a bundle, or reports/releases/RUN), or REVISION:RUN, which is
reports/releases/RUN as it was at that revision of git; with --run, REVISION alone. Releases that were not measured
alike are refused.
"""

import argparse

from pipeline.door import run_command
from pipeline.releases_compared.comparable import require_comparable
from pipeline.releases_compared.reading import read_release
from pipeline.releases_compared.tables import comparison_text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("a", help="the release that is compared with: a folder, REVISION:RUN, or a revision")
    parser.add_argument("b", help="the release that is judged, likewise")
    parser.add_argument("--run", help="the run of a revision that does not name one")
    asked = parser.parse_args()
    a, b = read_release(asked.a, asked.run), read_release(asked.b, asked.run)
    require_comparable(a, b)
    print(comparison_text(a, b))


if __name__ == "__main__":
    run_command(main)
