#!/usr/bin/env bash
# Train the demo model from nothing; stopped and started again, it goes on where it was.
#   bash scripts/train_demo.sh [FOLDER]   (default runs; about 1.5 hours on 2 cores)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
runs="${1:-runs}"
run() { .venv/bin/python -m "videollm.train.$1" "demo_$1" --output_dir "$runs/demo_$1" "${@:2}"; }
run pretrain
run align --encoder "$runs/demo_pretrain/encoder"
run instruct --model "$runs/demo_align"
.venv/bin/python scripts/release_demo.py "$runs/demo_instruct" "$runs/demo"
