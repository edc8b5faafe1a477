#!/usr/bin/env bash
# Make the built pycaffe known in the Python environment; Caffe's programs are found from there (drml/io/shipped.py).
# Usage: tools/link_venv.sh BUILD_DIR VENV
set -euo pipefail
build=$(cd "$1" && pwd)
venv=$2
site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
echo "$build/python" >"$site/caffe.pth"
