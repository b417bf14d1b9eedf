#!/usr/bin/env bash
# Hold lmms-eval to our own runner on 100 questions of the toy world, in an environment of its own.
# It is installed without its dependencies, but for the light ones that a task of videos needs.
set -euo pipefail
cd "$(dirname "$0")/.."
python="${PYTHON:-.venv/bin/python}"
home="${LMMS_HOME:-runs/lmms_eval}"
[ -x "$home/bin/python" ] || "$python" -m venv "$home"
"$python" -c "import site; print(site.getsitepackages()[0])" > "$("$home/bin/python" -c "import site; print(site.getsitepackages()[0])")/base.pth"
if ! "$home/bin/python" -c "import lmms_eval, aiohttp" 2> /dev/null; then
  "$home/bin/pip" install --quiet --no-deps "lmms-eval>=0.7.2,<0.8"
  "$home/bin/pip" install --quiet -r benchmarks/lmms_eval_requirements.txt
fi
"$home/bin/pip" install --quiet --no-deps -e .
exec "$home/bin/python" -m benchmarks.lmms_eval "$@"
