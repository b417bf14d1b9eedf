#!/usr/bin/env bash
# Hold every scan back end and the convolution to their references on hundreds of random cases,
# sequences of up to 5000 steps; some ten minutes. What it prints is kept under benchmarks/results.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export VIDEOLLM_TEST_PROFILE=full
.venv/bin/python -m pytest tests/encoder/test_scan_backends.py tests/encoder/test_scan.py \
  tests/encoder/test_conv.py --hypothesis-show-statistics --durations=0 \
  --no-header -k "equal or gradcheck or exact or chunks" "$@" | tee benchmarks/results/scan_laws.txt
