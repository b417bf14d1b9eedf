#!/usr/bin/env bash
# Train the demo model from nothing; stopped and started again, it goes on where it was.
#   bash scripts/train_demo.sh [FOLDER]   (default runs; about 2.5 hours on 2 cores)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
runs="${1:-runs}"
run() { .venv/bin/python -m "videollm.train.$1" "demo_$1" "${@:2}"; }
run pretrain --output_dir "$runs/demo_pretrain"
run align --output_dir "$runs/demo_align" --encoder "$runs/demo_pretrain/encoder"
run instruct --output_dir "$runs/demo_instruct" --model "$runs/demo_align"
run instruct --output_dir "$runs/demo_longer" --model "$runs/demo_instruct" \
  --world_seed 2 --seed 1 --max_steps 1100
.venv/bin/python scripts/release_demo.py "$runs/demo_longer" "$runs/demo"
