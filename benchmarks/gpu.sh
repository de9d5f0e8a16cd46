#!/usr/bin/env bash
# Everything that needs a GPU, on a machine that has PyTorch, torchvision, timm and lightning and no package index.
#
#   benchmarks/gpu.sh OUT [SECONDS]
#
# in slots: what is finished is not repeated, so the same command again goes on. OUT gets what there is to keep.
#   WHEELS=folder   of packages that the machine lacks (benchmarks/wheels.sh fetches them where there is an index)
#   PROFILE=folder  to train and judge; none: no training. With CamVid: profiles/camvid-pretrained, which needs no model hub; its
#                   images linked to data/raw, the ImageNet ResNet-50 to data/weights.safetensors
#   METHODS="..."   the table instead of the profile's runs: these candidates of its comparison with every baseline
#   SEEDS=3         of the table
#   BENCH="..."     further arguments of `python -m pipeline bench train`
# Without a GPU it runs all the same, on the CPU: that is the dry run.
set -euo pipefail
cd "$(dirname "$0")/.."
out=$(realpath -m "${1:?usage: benchmarks/gpu.sh OUT [SECONDS]}")
deadline=$((SECONDS + ${2:-570}))
marks=scratch/gpu
mkdir -p "$out" "$marks"

if [ -n "${WHEELS:-}" ]; then
  site=$(realpath -m "$marks/site")
  [ -d "$site" ] || python3 -m pip install -q --no-index --no-deps --no-compile --target "$site" "$WHEELS"/*.whl
  export PYTHONPATH="$site:${PYTHONPATH:-}"
fi
export PYTHONPATH="$PWD:${PYTHONPATH:-}"

python3 - <<'PY' | tee "$out/machine.txt"
import torch
name = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU: a dry run on the CPU"
print(f"torch {torch.__version__}, {name}")
PY

# A step runs once; killed at the end of the slot it is repeated in the next one.
step() {
  local name=$1 left=$((deadline - SECONDS))
  shift
  if [ -e "$marks/$name.done" ]; then echo "$name: done in an earlier slot"; return; fi
  if [ "$left" -le 10 ]; then echo "$name: the slot is over"; return; fi
  echo "== $name ($left s left)"
  local status=0
  timeout --signal=INT --kill-after=10 "$left" "$@" 2>&1 | tee "$out/$name.log" || status=$?
  case $status in
    0) touch "$marks/$name.done" ;;
    124 | 137) echo "$name: cut off at the end of the slot" ;;
    *) echo "$name failed with status $status"; exit "$status" ;;
  esac
}

step correctness python3 -m pytest -q -p no:cacheprovider tests/training/test_on_device.py
# shellcheck disable=SC2086
step bench_train python3 -m pipeline bench train --resume --out "$out/train.json" ${BENCH:-}
step determinism python3 -m pipeline bench determinism --out "$out/determinism.json"
step growth python3 -m pipeline bench growth --images --out "$out/growth.json"
if [ -n "${PROFILE:-}" ]; then
  step lists bash -c 'cd "$0" && python3 -m stages.prepare && python3 -m stages.curate' "$PROFILE"
  step data python3 -m pipeline bench data --profile "$PROFILE" --out "$out/data.json"
  # A step of its own for each table: what one of them has finished says nothing of another.
  taught=train${METHODS:+_${METHODS// /_}_${SEEDS:=3}}
  # shellcheck disable=SC2086
  step "$taught" python3 -m pipeline bench slot --profile "$PROFILE" --seconds $((deadline - SECONDS - 15)) --out "$out/profile" \
    ${METHODS:+--methods $METHODS --seeds $SEEDS}
  # A slot that ran out of time ends well and is not done.
  if ! grep -qs "everything is trained and judged" "$out/$taught.log"; then rm -f "$marks/$taught.done"; fi
fi
ls "$marks"/*.done
