#!/usr/bin/env bash
# Make every table and figure of the paper on synthetic data, at a small scale. Fails if a cell is missing.
# Usage: tools/paper.sh OUT [quick|tiny]
# quick draws the demo's data set and trains each net with the quick schedule, 400 iterations of 16 faces; tiny
# trains for a few iterations, to check that every step works.
# A second call continues where the first one was interrupted.
set -euo pipefail
out=$1
size=${2:-quick}
drml=.venv/bin/drml

case $size in
  quick)
    folds=1,2,3
    bp4d=() disfa=(--subjects 12 --frames 60)
    training=(--schedule quick)
    timing=(--trials 3 --iterations 3 --batch 16)
    ;;
  tiny)
    folds=1
    bp4d=(--subjects 9 --tasks 2 --frames 12) disfa=(--subjects 9 --frames 40)
    training=(--schedule quick --max-iter 3)
    timing=(--trials 2 --iterations 1 --batch 2)
    ;;
  *)
    echo "tools/paper.sh: size '$size': quick or tiny" >&2
    exit 2
    ;;
esac

data=$out/data
mkdir -p "$data"
stage() { # stage FOLDER COMMAND...: run the command unless the folder exists
  [ -d "$1" ] || "$drml" "${@:2}"
}
stage "$data/BP4D" synth "$data/BP4D" "${bp4d[@]}"
stage "$data/DISFA" synth "$data/DISFA" --layout disfa "${disfa[@]}"
stage "$data/bp4d" prepare bp4d "$data/BP4D" "$data/bp4d" --folds "$folds"
stage "$data/bp4d_256" prepare bp4d "$data/BP4D" "$data/bp4d_256" --folds "$folds" --size 256
stage "$data/disfa" prepare disfa "$data/DISFA" "$data/disfa" --folds "$folds"
stage "$data/disfa_256" prepare disfa "$data/DISFA" "$data/disfa_256" --folds "$folds" --size 256

experiment() { # experiment KIND ARGUMENTS...
  echo "== $1 ($((SECONDS / 60)) min so far)" >&2
  "$drml" experiment "$1" --complete "${@:2}"
}
on_bp4d=(--data "$data/bp4d" --data-alexnet "$data/bp4d_256" --out "$out/bp4d" "${training[@]}")
experiment table2 "${on_bp4d[@]}" --methods apl # which table 3 also applies to DISFA
experiment table2 "${on_bp4d[@]}"
experiment curve "${on_bp4d[@]}"
experiment table3 --data "$data/disfa" --data-alexnet "$data/disfa_256" --bp4d "$out/bp4d" --out "$out/disfa"
experiment table4 --out "$out/time" "${timing[@]}"
experiment fig4 "${on_bp4d[@]}"
experiment fig5 "${on_bp4d[@]}"
experiment grid "${on_bp4d[@]}" --folds 1
experiment sparsity "${on_bp4d[@]}" --folds 1
"$drml" report "$out/report.html" --overwrite --experiment "$out/bp4d" "$out/disfa" "$out/time"
echo "== all tables and figures are complete, in $SECONDS s: $out/report.html" >&2
