#!/bin/sh
# Build this bundle's engines on the machine that will run them, check them, and decide which ones to keep.
# All options: ./rebuild_on_target.sh --help
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
python=${PYTHON:-python3}
if ! command -v "$python" >/dev/null 2>&1; then
    echo "$python was not found: install Python 3.10 or later, or set PYTHON to its path" >&2
    exit 1
fi
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))'; then
    echo "$python is older than Python 3.10: set PYTHON to the path of a later version" >&2
    exit 1
fi
exec "$python" -B "$here/rebuild.py" "$@"
