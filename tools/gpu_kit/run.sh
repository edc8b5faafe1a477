#!/usr/bin/env bash
# Test and time DRML on Caffe on this machine's GPU, in at most 8 minutes, without network or compiler: README.md.
# Usage: ./run.sh [--out DIR] [--steps STEP...]
# Environment: PYTHON (default: python3), whose packages may bring cuBLAS, cuRAND and PyTorch; CUDA_LIBRARIES.
# Exit status: 0 all steps passed; 1 a step failed or was stopped; 2 wrong usage; 3 there is no GPU, so nothing ran.
set -euo pipefail
kit=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python3}
command -v "$python" >/dev/null || {
  echo "run.sh: $python was not found. Install Python 3.10 or newer, or name one with PYTHON=." >&2
  exit 1
}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || {
  echo "run.sh: $("$python" --version) is too old; Python 3.10 or newer is needed. Name one with PYTHON=." >&2
  exit 1
}
exec "$python" -B "$kit/kit/plan.py" "$@"
