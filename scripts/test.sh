#!/usr/bin/env bash
# Every check and test; further words go to pytest: bash scripts/test.sh -k scan
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bin="$PWD/.venv/bin"
[ -x "$bin/pip" ] || "${PYTHON:-python3}" -m venv .venv
if [ ! ".venv/installed[dev]" -nt pyproject.toml ]; then
  "$bin/python" -m pip install --quiet --editable ".[dev]"
  touch ".venv/installed[dev]"
fi
"$bin/ruff" check .
"$bin/ruff" format --check .
"$bin/mypy"
"$bin/python" -m videollm.packaged_llm
OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}" exec "$bin/python" -m pytest -n 2 --dist loadfile "$@"
