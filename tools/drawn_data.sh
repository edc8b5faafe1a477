# What tools/paper.sh, tools/results.sh and tools/intensities.sh share: BP4D's layout drawn and prepared, and the experiments
# on it. They source this file after they have set out, folds, bp4d (options of drml synth), training (options of the
# schedule) and, for intensities instead of occurrences at both sizes, target.
drml=.venv/bin/drml
data=$out/data
mkdir -p "$data"

stage() { # stage FOLDER COMMAND...: run the command unless the folder exists
  [ -d "$1" ] || "$drml" "${@:2}"
}
stage "$data/BP4D" synth "$data/BP4D" "${bp4d[@]}"
if [ "${target:-occurrence}" = intensity ]; then
  stage "$data/levels" prepare bp4d "$data/BP4D" "$data/levels" --target intensity --folds "$folds"
else
  stage "$data/bp4d" prepare bp4d "$data/BP4D" "$data/bp4d" --folds "$folds"
  stage "$data/bp4d_256" prepare bp4d "$data/BP4D" "$data/bp4d_256" --folds "$folds" --size 256
fi

on_bp4d=(--data "$data/bp4d" --data-alexnet "$data/bp4d_256" --out "$out/bp4d" "${training[@]}")
experiment() { # experiment KIND ARGUMENTS...
  echo "== experiment $1 ($((SECONDS / 60)) min so far)" >&2
  "$drml" experiment "$@"
}
