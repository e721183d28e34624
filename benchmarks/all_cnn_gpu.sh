#!/usr/bin/env bash
# As much of experiments/all_cnn.yaml (12 fits as published) as the given time allows on a GPU, and its report.
#
#   CIFAR10=FOLDER MINUTES=12 OUT=FOLDER benchmarks/all_cnn_gpu.sh [--set PATH=VALUE ...]
#
# CIFAR10 holds cifar-10-batches-py; OUT gets the study's folder: journal, checkpoints, report. Run it again with the
# same OUT and it continues, within a fit too. WORKERS processes share the GPU (default 4: one fit does not fill it).
# Its device and precision are part of a fit's identity: what a processor trained does not count here, nor the reverse.
# To try it without a GPU: CIFAR10=FOLDER MINUTES=3 WORKERS=1 PRECISION=float32 OUT=try benchmarks/all_cnn_gpu.sh \
#   --set training.device=cpu --set training.epochs=1 --set 'grid.architecture.model=[A]' \
#   --set 'grid.architecture.variant=[strided]' --set 'dataset={name: cifar10, root: FOLDER, subset: 600}' \
#   --set 'cross_validation={split: 0.2}' --set 'report={}'
set -euo pipefail
cd "$(dirname "$0")/.."
runner=${RUNNER:-.venv/bin/runner} out=${OUT:-reports} minutes=${MINUTES:-12}
study=(experiments/all_cnn.yaml --reports "$out")
settings=(--set "training.precision=${PRECISION:-bfloat16}" --set "training.checkpoint=30s")
# A folder that is given with --set dataset=... is not set a second time.
[[ " $* " == *" dataset="* ]] || settings+=(--set "dataset.root=$CIFAR10")

mkdir -p "$out"
"$runner" plan experiments/all_cnn.yaml "${settings[@]}" "$@" | tail -n 4
# An interrupted run keeps what is finished, and the checkpoints of the rest (exit status 130).
status=0
timeout --signal=INT --kill-after=60 "$((minutes * 60))" "$runner" run "${study[@]}" "${settings[@]}" "$@" \
  --workers "${WORKERS:-4}" --tracking-uri none || status=$?
case $status in
  0) echo "finished" ;;
  124 | 130) echo "stopped after $minutes minutes; run it again with OUT=$out to continue" ;;
  *) exit "$status" ;;
esac
"$runner" report all-cnn --reports "$out"
