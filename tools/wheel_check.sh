#!/usr/bin/env bash
# Build the wheel, install it into an environment of its own, use it from another folder, and uninstall it.
# Usage: tools/wheel_check.sh PYTHON WORK_DIR
set -euo pipefail
python=$1
mkdir -p "$2"
work=$(cd "$2" && pwd)

rm -rf "$work/wheel" "$work/venv" "$work/elsewhere"
"$python" -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir "$work/wheel" .
# Anybody who redistributes the wheel must include these files.
"$python" -m zipfile -l "$work"/wheel/drml-*.whl >"$work/wheel.txt"
for file in 'drml-[0-9.]*\.dist-info/licenses/LICENSE' 'drml-[0-9.]*\.dist-info/licenses/NOTICE' 'caffe/LICENSE'; do
  grep -q "^$file " "$work/wheel.txt" || {
    echo "tools/wheel_check.sh: the wheel has no $file" >&2
    exit 1
  }
done
"$python" -m venv "$work/venv"
pip=("$work/venv/bin/python" -m pip --quiet --disable-pip-version-check)
"${pip[@]}" install "$work"/wheel/drml-*.whl
"${pip[@]}" uninstall --yes drml
(cd "$work/venv" && find . -not -name '*.pyc' -not -name __pycache__ | sort) >"$work/before.txt"
"${pip[@]}" install --no-deps "$work"/wheel/drml-*.whl

# Run the pipeline from a folder without access to the source tree.
mkdir "$work/elsewhere"
cd "$work/elsewhere"
export PATH="$work/venv/bin:$PATH" PYTHONNOUSERSITE=1
unset PYTHONPATH
drml --version
caffe --version
python - <<'END'
import caffe
from drml.io.shipped import find_shipped

print(caffe.__file__)
print(caffe.Net(str(find_shipped("models/drml/deploy.prototxt")), caffe.TEST).blobs["prob"].data.shape)
END
drml synth bp4d --subjects 9 --tasks 1 --frames 4 --quiet
drml prepare bp4d bp4d data --folds 1 --quiet
drml train --solver models/drml/quick_solver.prototxt --data data/fold1 --out train --max-iter 2 --quiet
drml score train data/fold1 --quiet

# Uninstalling must leave nothing behind.
"${pip[@]}" uninstall --yes drml
(cd "$work/venv" && find . -not -name '*.pyc' -not -name __pycache__ | sort) | diff "$work/before.txt" - || {
  echo "tools/wheel_check.sh: uninstalling left the files above behind" >&2
  exit 1
}
du -h "$work"/wheel/drml-*.whl
