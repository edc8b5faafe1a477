#!/usr/bin/env bash
# Fuzz the Python readers: whole files that drml writes, changed at random, until the time is up; fails where a reader does
# anything but read them or refuse them with a line. What did it stays in build/fuzz/python.
# Usage: tools/fuzz_python.sh SECONDS [--only READER] [--examples N]
# Environment: VENV (default .venv), BUILD_DIR (default build).
set -euo pipefail
seconds=$1
shift
root=$(cd "$(dirname "$0")/.." && pwd)
# What the image libraries say of damaged files goes to standard error of its own accord.
exec "${VENV:-$root/.venv}/bin/python" "$root/tests/python/hostile_files.py" --seconds "$seconds" \
  --out "${BUILD_DIR:-$root/build}/fuzz/python" "$@" 2> >(grep -vE '^(libpng|Corrupt JPEG|Invalid SOS|Premature end|\[ WARN)' >&2)
