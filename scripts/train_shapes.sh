#!/usr/bin/env bash
# Train a model of the shape world from nothing; stopped and started again, it goes on.
#   bash scripts/train_shapes.sh [--quick] [FOLDER]   (docs/shape_world.md: how many hours)
# --quick takes a few minutes of every stage and asks what came of it, beside the same model blind.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec "${PYTHON:-.venv/bin/python}" scripts/train_shapes.py "$@"
