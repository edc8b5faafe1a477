#!/usr/bin/env bash
# Install cuBLAS and cuRAND (and NCCL) for this machine's nvcc into the Python environment, if the toolkit lacks them.
# Usage: tools/cuda_libraries.sh VENV
# Environment: CUDA_DIR (the toolkit; default: the one whose nvcc is on the PATH); USE_NCCL=1 also installs NCCL.
set -euo pipefail
venv=$1
nvcc=nvcc
if [ -n "${CUDA_DIR:-}" ]; then
  nvcc=$CUDA_DIR/bin/nvcc
elif ! command -v nvcc >/dev/null && [ -x /usr/local/cuda/bin/nvcc ]; then
  nvcc=/usr/local/cuda/bin/nvcc
fi
command -v "$nvcc" >/dev/null || {
  echo "No $nvcc: install the CUDA toolkit (11.8 to 13), or set CUDA_DIR to its folder." >&2
  exit 1
}
release=$("$nvcc" --version | sed -n 's/.*release \([0-9]*\)\.\([0-9]*\).*/\1 \2/p')
read -r major minor <<<"$release"
# nvcc prints where its toolkit is. The distribution's toolkit is in the compiler's own folders.
root=$("$nvcc" -v --dryrun -x cu /dev/null 2>&1 | sed -n 's/^#\$ TOP=//p')

has() {  # has HEADER: succeed if the toolkit or the distribution has it
  [ -e "$root/include/$1" ] || [ -e "/usr/include/$1" ]
}
packages=()
if [ "$major" -ge 13 ]; then
  has cublas_v2.h || packages+=("nvidia-cublas==$major.$minor.*")
  has curand.h || packages+=("nvidia-curand<11")
else
  has cublas_v2.h || packages+=("nvidia-cublas-cu$major<$((major + 1))")
  has curand.h || packages+=("nvidia-curand-cu$major<11")
fi
if [ "${USE_NCCL:-0}" = 1 ]; then
  has nccl.h || packages+=("nvidia-nccl-cu$major<3")
fi
((${#packages[@]})) || exit 0
stamp=$venv/.cuda_libraries
if [ "$(cat "$stamp" 2>/dev/null)" != "${packages[*]}" ]; then
  echo "Installing into $venv what the CUDA toolkit lacks: ${packages[*]}"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps "${packages[@]}"
  echo "${packages[*]}" >"$stamp"
fi
