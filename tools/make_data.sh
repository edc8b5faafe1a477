#!/usr/bin/env bash
# LMDBs, mean images and manifests of three folds for models/drml.
# Usage: tools/make_data.sh OUT [BP4D_ROOT]
# Without BP4D_ROOT the data set is synthetic, in BP4D's layout, below data/synthetic.
set -euo pipefail
out=$1
root=${2:-}
drml=.venv/bin/drml
if [ -z "$root" ]; then
  if [ -f "$out/summary.json" ]; then
    echo "$out is there already; remove it to make it anew."
    exit 0
  fi
  root=data/synthetic
  [ -d "$root" ] || "$drml" synth "$root"
fi
"$drml" prepare bp4d "$root" "$out"
