"""Run the command of this bundle that has the name of this file. Options: --help"""

import sys
from pathlib import Path

BUNDLE = Path(__file__).resolve().parent
WHEEL = BUNDLE / "segdistill_runtime-VERSION-py3-none-any.whl"
if not WHEEL.is_file():
    sys.exit(f"{WHEEL} is missing: fetch the bundle again")
# Import nothing from this folder: a file that somebody added to it must not run in place of a package.
sys.path = [str(WHEEL), *(entry for entry in sys.path if entry and Path(entry).resolve() != BUNDLE)]

from segdistill_runtime.__main__ import main  # noqa: E402

main([Path(__file__).stem.replace("_", "-"), "--bundle", str(BUNDLE), *sys.argv[1:]])
