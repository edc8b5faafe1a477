#!/usr/bin/env bash
# Make every table and figure of the paper on synthetic data, at a small scale. Fails if a cell is missing.
# Usage: tools/paper.sh OUT [quick|tiny] [FOLDS]
# quick draws the demo's data set and trains each net with the quick schedule, 800 iterations of 16 faces; tiny
# trains for a few iterations, to check that every step works. FOLDS are the folds to test, such as 1,2,3 (default: 1).
# A second call continues where the first one was interrupted.
set -euo pipefail
out=$1
size=${2:-quick}
folds=${3:-1}

case $size in
  quick)
    bp4d=() disfa=(--subjects 12 --frames 60)
    training=(--schedule quick)
    timing=(--trials 3 --iterations 3 --batch 16)
    ;;
  tiny)
    bp4d=(--subjects 9 --tasks 2 --frames 12) disfa=(--subjects 9 --frames 40)
    training=(--schedule quick --max-iter 3 --jobs 2) # what three iterations need is mostly the start of programs
    timing=(--trials 2 --iterations 1 --batch 2)
    ;;
  *)
    echo "tools/paper.sh: size '$size': quick or tiny" >&2
    exit 2
    ;;
esac

. tools/drawn_data.sh
stage "$data/DISFA" synth "$data/DISFA" --layout disfa "${disfa[@]}"
stage "$data/disfa" prepare disfa "$data/DISFA" "$data/disfa" --folds "$folds"
stage "$data/disfa_256" prepare disfa "$data/DISFA" "$data/disfa_256" --folds "$folds" --size 256

whole() { # whole KIND ARGUMENTS...: an experiment that fails if a cell is missing
  experiment "$@" --complete
}
whole table2 "${on_bp4d[@]}" --methods apl # which table 3 also applies to DISFA
whole table2 "${on_bp4d[@]}"
whole curve "${on_bp4d[@]}"
whole table3 --data "$data/disfa" --data-alexnet "$data/disfa_256" --bp4d "$out/bp4d" --out "$out/disfa"
whole table4 --out "$out/time" "${timing[@]}"
whole fig4 "${on_bp4d[@]}"
whole fig5 "${on_bp4d[@]}"
whole grid "${on_bp4d[@]}" --folds 1
whole sparsity "${on_bp4d[@]}" --folds 1
"$drml" report "$out/report.html" --overwrite --experiment "$out/bp4d" "$out/disfa" "$out/time"
echo "== all tables and figures are complete, in $SECONDS s: $out/report.html" >&2
