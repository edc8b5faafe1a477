#!/usr/bin/env bash
# Run the whole pipeline on synthetic data: data set -> LMDB -> caffe train -> scores -> report.
# Usage: tools/demo.sh OUT [SOLVER]
# Writes OUT/scores.json, OUT/lsvm/scores.json (the LSVM on the same split), OUT/report.html and OUT/stages.json (seconds per stage).
set -euo pipefail
out=$1
solver=${2:-models/drml/quick_solver.prototxt}
drml=.venv/bin/drml
data=$out/data
train=$out/train

stages=()
stage() { # stage NAME COMMAND...: run the command and record how long it took
  local name=$1 start=$SECONDS
  shift
  echo "== $name"
  "$@"
  stages+=("\"$name\": $((SECONDS - start))")
}
write_stages() {
  local IFS=,
  echo "{${stages[*]}}" >"$out/stages.json"
}

stage build make all
rm -rf "$out"
mkdir -p "$out"
stage synth "$drml" synth "$out/bp4d"
stage prepare "$drml" prepare bp4d "$out/bp4d" "$data" --folds 1
stage train "$drml" train --solver "$solver" --data "$data/fold1" --out "$train"
stage score "$drml" score "$train" "$data/fold1" --out "$out/scores.json" --predictions "$out/predictions.csv"
stage lsvm "$drml" baseline lsvm --data "$data/fold1" --out "$out/lsvm"
stage saliency "$drml" saliency "$train" "$data/fold1" --out "$out/saliency"
write_stages
"$drml" report "$out/report.html" --scores "$out/scores.json" --train "$train" --data "$data" \
  --predictions "$out/predictions.csv" --saliency "$out/saliency" --stages "$out/stages.json"
echo "Scores: $out/scores.json   Report: $out/report.html   Stages in seconds: $(cat "$out/stages.json")"
