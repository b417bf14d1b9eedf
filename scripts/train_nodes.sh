#!/usr/bin/env bash
# Train on several machines: run this on each of them, with the same words but its own RANK.
#   NODES=2 RANK=0 MASTER=10.0.0.1 bash scripts/train_nodes.sh instruct RECIPE [--key value ...]
# RANK is 0 on the machine that MASTER names. GPUS (8) is how many each machine has, LAUNCH (ddp_8gpu)
# a file of train/recipes/accelerate without .yaml, PORT (29500) one that is open between machines.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
: "${NODES:?how many machines}" "${RANK:?which of them this is, from 0}" "${MASTER:?address of machine 0}"
exec "${PYTHON:-.venv/bin/python}" -m accelerate.commands.launch \
  --config_file "train/recipes/accelerate/${LAUNCH:-ddp_8gpu}.yaml" \
  --num_machines "$NODES" --machine_rank "$RANK" --num_processes "$((NODES * ${GPUS:-8}))" \
  --main_process_ip "$MASTER" --main_process_port "${PORT:-29500}" \
  -m "videollm.train.$1" "${@:2}"
