#!/usr/bin/env bash
# Put the built pycaffe on the path of the Python environment. drml finds Caffe's programs through it (drml/io/shipped.py).
# Usage: tools/link_venv.sh BUILD_DIR VENV
set -euo pipefail
build=$(cd "$1" && pwd)
venv=$2
site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
echo "$build/python" >"$site/caffe.pth"
