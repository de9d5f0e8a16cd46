#!/usr/bin/env bash
# Fetch what benchmarks/gpu.sh may lack on its machine, in the versions of the lock:  benchmarks/wheels.sh FOLDER
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:?usage: benchmarks/wheels.sh FOLDER}
wanted=$(grep -oE '^(pydantic|pydantic-core|annotated-types|typing-inspection|ruamel-yaml|beartype|wadler-lindig|jaxtyping)==[^ ;]+' requirements.lock)
platforms=()
for tag in 2_28 2_27 2_17; do platforms+=(--platform "manylinux_${tag}_x86_64"); done
# shellcheck disable=SC2086
python3 -m pip download -q --no-deps --only-binary=:all: --python-version "${PYTHON_VERSION:-3.12}" --implementation cp \
  "${platforms[@]}" --platform manylinux2014_x86_64 -d "$folder" $wanted
ls -s "$folder"
