#!/usr/bin/env bash
# The larger run on drawn faces for docs/results.md: LSVM, JPML and four nets on three folds, with the nets of the
# paper's schedule (models/*/train_val.prototxt), until the validation AUC is flat or for 3,000 iterations.
# Usage: tools/results.sh OUT [full|tiny]
# A second call continues where the first one was interrupted, a training from its last snapshot. The line before
# each unit says how much time is left, as soon as units of the same kind have been finished.
set -euo pipefail
out=$1
size=${2:-full}

# Batches of 16 instead of 128, so that the run is possible on a CPU.
case $size in
  full)
    folds=1,2,3 seeds=2
    bp4d=()
    training=(--schedule paper --train-batch 16 --max-iter 3000 --until-flat)
    ;;
  tiny)
    folds=1 seeds=2
    bp4d=(--subjects 9 --tasks 2 --frames 12)
    training=(--schedule paper --train-batch 4 --max-iter 3 --until-flat)
    ;;
  *)
    echo "tools/results.sh: size '$size': full or tiny" >&2
    exit 2
    ;;
esac

. tools/drawn_data.sh

# The methods from the cheapest to the dearest, so that an interrupted run has compared something.
experiment table2 "${on_bp4d[@]}" --methods lsvm jpml --seeds 1
for net in convnet drml alexnet lcn; do
  experiment table2 "${on_bp4d[@]}" --methods "$net" --seeds 1
done
# The second seed has a table of its own, since the other methods have one seed.
experiment table2 "${on_bp4d[@]}" --methods convnet drml --seeds "$seeds" >"$out/two_seeds.md"
experiment table2 "${on_bp4d[@]}" --seeds 1 --complete
experiment curve "${on_bp4d[@]}" --complete
experiment fig5 "${on_bp4d[@]}" --methods drml convnet alexnet --complete
experiment fig4 "${on_bp4d[@]}" --complete
"$drml" report "$out/report.html" --overwrite --experiment "$out/bp4d"
echo "== $SECONDS s: $out/bp4d/table2.md and $out/two_seeds.md (scores), $out/bp4d/curve.md (learning curve), fig4.csv (saliency focus)," \
  "fig5_relations.csv (relation tables), $out/report.html" >&2
