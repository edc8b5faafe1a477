#!/usr/bin/env bash
# Write the LMDBs, mean images and manifests of three folds for models/drml.
# Usage: tools/make_data.sh OUT [BP4D_ROOT]
# Without BP4D_ROOT, the data set is a synthetic one in BP4D's layout, written to data/synthetic.
set -euo pipefail
out=$1
root=${2:-}
drml=.venv/bin/drml
if [ -z "$root" ]; then
  if [ -f "$out/summary.json" ]; then
    echo "$out exists already; remove it to prepare it again."
    exit 0
  fi
  root=data/synthetic
  [ -d "$root" ] || "$drml" synth "$root"
fi
"$drml" prepare bp4d "$root" "$out"
