#!/usr/bin/env bash
# bash scripts/demo.sh                    opens the chat page
# bash scripts/demo.sh VIDEO "question"   answers in the terminal, with the core alone
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
bin="$root/.venv/bin"
if [ $# -eq 0 ]; then extra="[serve]"; set -- serve --open; else extra=""; set -- ask "$@"; fi
[ -x "$bin/pip" ] || "${PYTHON:-python3}" -m venv "$root/.venv"
if [ ! "$root/.venv/installed$extra" -nt "$root/pyproject.toml" ]; then
  echo "Installing videollm$extra into $root/.venv (a few minutes, once)" >&2
  "$bin/python" -m pip install --quiet --editable "$root$extra"
  touch "$root/.venv/installed$extra"
fi
"$bin/python" -m videollm.packaged_llm
exec "$bin/videollm" "$@"
