#!/usr/bin/env bash
# Make the built tools and pycaffe known in the Python environment.
# Usage: tools/link_venv.sh BUILD_DIR VENV
set -euo pipefail
build=$(cd "$1" && pwd)
venv=$2
for tool in "$build"/bin/*; do
  ln -sf "$tool" "$venv/bin/"
done
site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
echo "$build/python" >"$site/caffe.pth"
