#!/usr/bin/env bash
# Train a model of the shape world from nothing; stopped and started again, it goes on where it was.
#   bash scripts/train_shapes.sh [FOLDER]   (default runs; docs/shape_world.md tells the hours)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
runs="${1:-runs}"
python="${PYTHON:-.venv/bin/python}"
run() { "$python" -m "videollm.train.$1" "shapes_$1" --output_dir "$runs/shapes_$1" "${@:2}"; }
"$python" -m videollm.train.general_answers --output runs/general.jsonl
run pretrain
run align --encoder "$runs/shapes_pretrain/encoder"
run instruct --model "$runs/shapes_align"
