#!/usr/bin/env bash
# The study behind docs/results.md, from nothing: teacher, pretraining, fine-tuning, tables. Some
# hours on two cores; `--quick` is a small form of everything in 15 minutes. An interrupted run goes
# on where it was. Options: python -m benchmarks.claims --help
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PYTHON="${PYTHON:-.venv/bin/python}"
exec "$PYTHON" -m benchmarks.claims "$@"
