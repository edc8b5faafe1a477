#!/usr/bin/env bash
# Intensities on drawn faces for docs/intensities.md: ridge regression on SIFT, ConvNet and DRML on the first fold, two seeds.
# Usage: tools/intensities.sh OUT [full|quick|tiny]
# full trains with the paper's schedule, until the validation ICC is flat or for 3,000 iterations; quick with the quick
# schedule, 800 iterations; tiny for two iterations, to check that every step works.
# A second call continues where the first one was interrupted, a training from its last snapshot.
set -euo pipefail
out=$1
size=${2:-full}

case $size in
  full) # batches of 16 instead of 128, so that the run is possible on a CPU
    bp4d=()
    training=(--schedule paper --train-batch 16 --max-iter 3000 --until-flat)
    ;;
  quick)
    bp4d=()
    training=(--schedule quick)
    ;;
  tiny)
    bp4d=(--subjects 9 --tasks 2 --frames 12)
    training=(--schedule paper --train-batch 4 --max-iter 2 --until-flat)
    ;;
  *)
    echo "tools/intensities.sh: size '$size': full, quick or tiny" >&2
    exit 2
    ;;
esac

folds=1 target=intensity
. tools/drawn_data.sh

experiment intensities --data "$data/levels" --out "$out/levels" "${training[@]}" --seeds 2 --complete
echo "== $SECONDS s: $out/levels/intensities.md (ICC, PCC, MAE, MSE)" >&2
