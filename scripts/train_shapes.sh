#!/usr/bin/env bash
# Train a model of the shape world from nothing; stopped and started again, it goes on.
#   bash scripts/train_shapes.sh [--quick] [FOLDER]   (docs/shape_world.md: how many hours)
# --quick takes a few minutes of every stage and asks what came of it, beside the same model blind.
# The seconds that each stage took are appended to FOLDER/times.tsv.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
quick=false
if [[ "${1:-}" == --quick ]]; then
  quick=true
  shift
fi
runs="${1:-$("$quick" && echo runs/quick || echo runs)}"
python="${PYTHON:-.venv/bin/python}"
# a GPU where there is one; bfloat16 where it is the faster format
read -r use_cpu bf16 <<< "$("$python" -c '
import torch
from videollm.runtime import pick_dtype
cuda = torch.cuda.is_available()
fast = pick_dtype("auto", "cuda" if cuda else "cpu") is torch.bfloat16
print(not cuda, fast)')"
# what the quick form changes of each stage
declare -A fewer=([answers]="--limit 32" [pretrain]="--max_steps 200 --warmup_steps 20"
  [align]="--max_steps 80" [instruct]="--max_steps 200 --warmup_steps 20")

timed() {
  local name="$1" start="$SECONDS"
  shift
  "$@"
  printf '%s\t%s s\n' "$name" "$((SECONDS - start))" | tee -a "$runs/times.tsv"
}
run() {
  local changes=()
  if "$quick"; then read -ra changes <<< "${fewer[$1]}"; fi
  timed "$1" "$python" -m "${@:2}" "${changes[@]}"
}
stage() {
  run "$1" "videollm.train.$1" "shapes_$1" --output_dir "$runs/shapes_$1" --use_cpu "$use_cpu" "${@:2}"
}

mkdir -p "$runs"
run answers videollm.train.general_answers --output "$runs/general.jsonl"
# the recipe's mixture, with these answers
mixture="$("$python" -c '
import json, sys, yaml
from videollm.train.recipe import shipped_recipes
mixture = yaml.safe_load(shipped_recipes()["shapes_instruct"].read_text())["mixture"]
mixture["text"]["data_path"] = sys.argv[1]
print(json.dumps(mixture))' "$runs/general.jsonl")"
stage pretrain --bf16 "$bf16"
stage align --encoder "$runs/shapes_pretrain/encoder"
stage instruct --model "$runs/shapes_align" --mixture "$mixture"
if "$quick"; then
  timed eval "$python" -m videollm eval --model "$runs/shapes_instruct" --tasks shapeworld \
    --limit 200 --baselines blind --output "$runs/quick_eval"
fi
