#!/usr/bin/env bash
# Download the packages that benchmarks/gpu.md needs, in the versions of the lock:  benchmarks/wheels.sh FOLDER
# PyTorch, torchvision, timm, lightning and their dependencies must be on the machine already. Set PYTHON_VERSION to the
# machine's version (default: 3.12). The folder has about 115 MB and can be copied in pieces.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:?usage: benchmarks/wheels.sh FOLDER}
version=${PYTHON_VERSION:-3.12}
names="pydantic pydantic-core annotated-types typing-inspection ruamel-yaml ruamel-yaml-clib beartype wadler-lindig jaxtyping
  opencv-python-headless rich markdown-it-py mdurl pygments
  lightning-fabric scipy nvidia-ml-py matplotlib contourpy cycler fonttools kiwisolver pyparsing python-dateutil six
  pytest colorama pluggy iniconfig packaging hypothesis sortedcontainers onnxscript onnx-ir"
if [ "$version" = 3.11 ]; then other=">= '3.12'"; else other="< '3.12'"; fi
# shellcheck disable=SC2086
wanted=$(printf '^%s== ' $names | sed 's/ $//; s/ /|/g')
wanted=$(grep -E "$wanted" requirements.lock | grep -vF "python_full_version $other" | grep -oE '^[^ ;]+')
platforms=(--platform manylinux2014_x86_64)
for tag in 2_28 2_27 2_17; do platforms+=(--platform "manylinux_${tag}_x86_64"); done
# shellcheck disable=SC2086
python3 -m pip download -q --no-deps --only-binary=:all: --python-version "$version" --implementation cp \
  "${platforms[@]}" -d "$folder" $wanted
ls -s "$folder"
